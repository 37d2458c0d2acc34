#!/bin/sh
# Sets coordjournal up from a fresh checkout: a virtual environment beside this script, and then what was asked for.
# Outside the checkout it touches only what guarding a repository needs: that repository, and the prefix that the hooks
# run from (--prefix names another). None of it needs root. See --help.
set -eu

usage() {
    cat <<'END'
Usage: ./install.sh                      set up (.venv beside this script), then say what to do next
       ./install.sh --demo [DIR]         set up, then play the main job with real pushes; DIR keeps what it made
       ./install.sh --test               set up, then run the whole test suite, on all cores
       ./install.sh --test ARGUMENT...   set up, then run pytest with these arguments: ./install.sh --test -k name
       ./install.sh REPO.git [OPTION]... set up, then guard REPO.git: a new bare repository, or an existing one
                                         (options are those of `coordjournal init` or `coordjournal install`)
       ./install.sh --help               this

Needs git 2.29 or later and Python 3.11 or later; PYTHON=/path/to/python3 names one. pip fetches the rest.
END
}

say() {
    printf 'install.sh: %s\n' "$*" >&2
}

die() {
    say "$@"
    exit 1
}

# ---------------------------------------------------------------------------------------------------- what there is

check_git() {
    command -v git >/dev/null 2>&1 || die "git is missing. Install git 2.29 or later (Debian, Ubuntu: apt install git)."
    found=$(git --version | sed -n 's/^git version \([0-9][0-9]*\)\.\([0-9][0-9]*\).*/\1 \2/p')
    major=${found% *}
    minor=${found#* }
    if [ "${major:-0}" -lt 2 ] || { [ "$major" -eq 2 ] && [ "$minor" -lt 29 ]; }; then
        die "$(git --version) is too old. Install git 2.29 or later."
    fi
}

# Whether $1 is a Python 3.11 or later that can make virtual environments.
new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}
can_make_venv() {
    "$1" -c 'import venv, ensurepip' >/dev/null 2>&1
}
# Debian ships venv without ensurepip; where there is a pip that installs into other environments, that one will do.
can_lend_pip() {
    "$1" -c 'import venv' >/dev/null 2>&1 && "$1" -m pip --python "$1" --version >/dev/null 2>&1
}

# Sets $python, and $lend where its own pip has to serve the virtual environment.
find_python() {
    python='' lend='' too_old='' no_venv=''
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3 python3.14 python3.13 python3.12 python3.11 python
    fi
    for candidate; do
        path=$(command -v "$candidate" 2>/dev/null) || continue
        if ! new_enough "$path"; then
            too_old="$too_old $path"
        elif can_make_venv "$path"; then
            python=$path
            return
        else
            no_venv="$no_venv $path"
            if [ -z "$lend" ] && can_lend_pip "$path"; then
                python=$path
                lend=yes
            fi
        fi
    done
    [ -z "$lend" ] || return 0
    if [ -n "$no_venv" ]; then
        die "this Python cannot make virtual environments:$no_venv. Install its venv module" \
            "(Debian, Ubuntu: apt install python3-venv) or name another Python: PYTHON=/path/to/python3 ./install.sh"
    fi
    if [ -n "${PYTHON:-}" ]; then
        die "PYTHON is $PYTHON, which is no Python 3.11 or later."
    fi
    if [ -n "$too_old" ]; then
        die "coordjournal needs Python 3.11 or later; too old:$too_old." \
            "Install a later one, or name it: PYTHON=/path/to/python3 ./install.sh"
    fi
    die "Python 3 is missing. Install Python 3.11 or later (Debian, Ubuntu: apt install python3 python3-venv)."
}

# ------------------------------------------------------------------------------------------------------- setting up

# What the environment was made from: this place and the content of everything that pip installs from here.
fingerprint() {
    (
        cd "$root"
        printf '%s\n' "$root"
        find pyproject.toml README.md LICENSE coordjournal hooks schemas docs/man -type f ! -name '*.pyc' \
            -exec cksum {} + 2>/dev/null | LC_ALL=C sort
    ) | cksum
}

# Sets up for $1: "run", or "test", which includes it.
set_up() {
    venv=$root/.venv
    stamp=$venv/coordjournal-installed
    check_git
    wanted=$(fingerprint)
    if [ -x "$venv/bin/python" ] && new_enough "$venv/bin/python" && [ -f "$stamp" ]; then
        if grep -qxF "test $wanted" "$stamp" || grep -qxF "$1 $wanted" "$stamp"; then
            return
        fi
        # A virtual environment names its place in its scripts, so a moved one is made anew.
        grep -qxF "at $root" "$stamp" || rm -rf "$venv"
    elif [ -f "$venv/pyvenv.cfg" ]; then
        rm -rf "$venv" # broken, interrupted, or of a Python that is gone
    elif [ -e "$venv" ]; then
        die "$venv is in the way: it is not a virtual environment."
    fi
    lend=''
    if [ ! -d "$venv" ]; then
        find_python
        say "making $venv with $python"
        if [ -n "$lend" ]; then
            "$python" -m venv --without-pip "$venv"
        else
            "$python" -m venv "$venv"
        fi || die "$python could not make a virtual environment (see above)."
        printf 'at %s\n' "$root" >"$stamp"
    elif ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        find_python
        lend=yes
    fi
    extras=''
    if [ "$1" = test ]; then
        extras='[test]'
    fi
    say "installing coordjournal and what it needs (pip)"
    (
        cd "$root" || exit 1
        if [ -n "$lend" ]; then
            set -- "$python" -m pip --python "$venv/bin/python"
        else
            set -- "$venv/bin/python" -m pip
        fi
        "$@" install --quiet --disable-pip-version-check --upgrade ".$extras" >&2
    ) || die "pip could not install it (see above). Behind a proxy, set HTTPS_PROXY; for a mirror, PIP_INDEX_URL."
    printf 'at %s\n%s %s\n' "$root" "$1" "$wanted" >"$stamp"
}

next_steps() {
    cat <<END
coordjournal is set up in $root/.venv

  see it work:              ./install.sh --demo
  guard a repository:       ./install.sh /srv/git/wiki.git
  the command line:         .venv/bin/coordjournal --help
  as a command everywhere:  PATH="$root/.venv/bin:\$PATH"
END
}

# ------------------------------------------------------------------------------------------------------------- main

root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
[ -f "$root/pyproject.toml" ] && [ -d "$root/coordjournal" ] ||
    die "$root is no checkout of coordjournal; run install.sh by its own path, not through a link."

# What the caller's shell says about Python and pip is about other environments than the one made here.
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_ROOT
PIP_USER=0
export PIP_USER

case "${1:-}" in
'')
    set_up run
    next_steps
    ;;
-h | --help)
    usage
    ;;
--demo)
    [ $# -le 2 ] || { usage >&2; exit 2; }
    set_up run
    shift
    exec "$root/.venv/bin/python" -P "$root/examples/demo.py" "$@"
    ;;
--test)
    shift
    set_up test
    [ $# -gt 0 ] || set -- -n auto --dist worksteal
    cd "$root"
    exec "$root/.venv/bin/python" -m pytest "$@"
    ;;
-*)
    say "no such option: $1"
    usage >&2
    exit 2
    ;;
*)
    set_up run
    if [ -e "$1" ] && { [ ! -d "$1" ] || [ -n "$(ls -A -- "$1")" ]; }; then
        exec "$root/.venv/bin/coordjournal" install "$@"
    fi
    exec "$root/.venv/bin/coordjournal" init "$@"
    ;;
esac
