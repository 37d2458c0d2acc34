#!/bin/sh
# What a person does with git alone, as a program: see decisions.py for the requests. Only printf, sed, od, sha256sum and
# git's own commands; names must not hold what JSON escapes.
set -u
tab=$(printf '\t')

# The space as refs have it: %XX for every byte that is not one of a-z 0-9 . _ - (dots at odd places are not dealt with).
spelled() {
    for byte in $(printf %s "$1" | od -An -v -tx1); do
        case $byte in
        6[1-9a-f] | 7[0-9a] | 3[0-9] | 2e | 2d | 5f) printf %b "\\0$(printf %o "0x$byte")" ;;
        *) printf '%%%s' "$byte" | tr a-f A-F ;;
        esac
    done
}

fetch() { # DIR URL
    if ! [ -d "$1" ]; then
        git init --quiet --bare "$1" && git -C "$1" remote add origin "$2" || return
        git -C "$1" config remote.origin.fetch '+refs/spaces/*:refs/remotes/origin/spaces/*'
    fi
    git -C "$1" fetch --quiet origin
}

read_log() { # DIR SPACE
    export GIT_DIR="$1"
    git rev-list --first-parent --reverse "refs/remotes/origin/spaces/$(spelled "$2")" | while read -r commit; do
        git cat-file commit "$commit" >"$1/commit"
        message=$(sed '1,/^$/d' "$1/commit")
        printf '%s\t' "$(printf '%s\n' "$message" | sed -n 's/^Seq: //p')" "$commit" \
            "$(sed -n 's/^author \(.*\) <.*/\1/p' "$1/commit")" "$(sed -n 's/^committer \(.*\) <.*/\1/p' "$1/commit")" \
            "$(printf '%s\n' "$message" | sed -n 1p)" "$(printf '%s\n' "$message" | sed -n 3p)"
        if git cat-file -e "$commit:body" 2>/dev/null; then
            git cat-file blob "$commit:body" | sha256sum | cut -d' ' -f1
        else
            echo -
        fi
    done
}

# A string as subjects have it: in quotes where there is a space in it.
quoted() {
    case $1 in
    *' '*) printf '"%s"' "$1" ;;
    *) printf %s "$1" ;;
    esac
}

build() { # DIR SPACE HOW ACTOR KIND NAME PAGE [FILE]
    export GIT_DIR="$1"
    at=$(date -u +%Y-%m-%dT%H:%M:%S.%6NZ)
    random=$(od -An -N10 -tx1 /dev/urandom | tr -d ' \n')
    id=$(printf %012x "$(date +%s%3N)" | sed 's/.\{8\}/&-/')-7$(printf %.3s "$random")-8$(printf %s "$random" | cut -c4-6)-$(printf %s "$random" | cut -c7-18)
    if [ "$5" = alias-set ]; then
        payload="{\"alias\":\"$6\",\"target\":\"$7\"}"
        subject="$5: $(quoted "$6") -> $(quoted "$7")"
        tree=$(git mktree </dev/null)
    else
        bytes=$(wc -c <"$8")
        sha256=$(sha256sum <"$8" | cut -d' ' -f1)
        [ "$3" != attachment ] || sha256=$(echo other | sha256sum | cut -d' ' -f1)
        payload="{\"base_rev\":null,\"body\":{\"bytes\":$bytes,\"sha256\":\"$sha256\"},\"overlay_id\":\"$6\",\"target\":\"$7\"}"
        subject="$5: $(quoted "$6") on $(quoted "$7") ($bytes bytes)"
        tree=$(printf '100644 blob %s\tbody\n' "$(git hash-object -w "$8")" | git mktree)
    fi
    parent=$(git rev-parse --quiet --verify "refs/remotes/origin/spaces/$(spelled "$2")")
    seq=0
    [ -z "$parent" ] || seq=$(($(git cat-file commit "$parent" | sed -n 's/^Seq: //p') + 1))
    [ "$3" != seq ] || seq=$((seq + 1))
    [ "$3" != subject ] || subject="$subject!"
    {
        printf '%s\n\n' "$subject"
        printf '{"actor":"%s","at":"%s","id":"%s","payload":%s,"space":"%s","type":"%s","v":1}\n' \
            "$4" "$at" "$id" "$payload" "$2" "$5"
        [ "$3" = intent ] || printf '\nSeq: %s\n' "$seq"
    } >"$1/message"
    GIT_AUTHOR_NAME=$4 GIT_AUTHOR_EMAIL='' GIT_AUTHOR_DATE=${at%.*}Z \
        GIT_COMMITTER_NAME=git GIT_COMMITTER_EMAIL='' \
        git commit-tree -F "$1/message" ${parent:+-p "$parent"} "$tree"
}

push() { # DIR URL COMMIT REF [force]
    git -C "$1" push ${5:+--force} origin "$3:$4"
}

while IFS=$tab read -r verb a b c d e f g h; do
    case $verb in
    read) verb=read_log ;;
    esac
    if ("$verb" "$a" "$b" "$c" "$d" "$e" "$f" "$g" ${h:+"$h"}) 2>&1; then
        echo '= done'
    else
        echo '= failed'
    fi
done
