"""The proc-receive hook: what git and the pusher hear of it, the hooks around it, and whatever is killed, whenever."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pushing import Author, Server, acquisition, interpreter, run_git, write_program

from coordjournal import proc_receive

APPEND = "refs/append/garden"
GARDEN = "refs/spaces/garden"
ZERO = "0" * 40
PACKAGE = Path(proc_receive.__file__).parent


@pytest.fixture(scope="session")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    return Author(tmp_path_factory.mktemp("author") / "author.git")


@pytest.fixture
def server(prefix: str, tmp_path: Path) -> Server:
    """A server that sequences and has no log yet."""
    return Server(tmp_path / "server.git", Path(prefix), sequencing=True)


def ids(server: Server, space: str = "garden") -> list[str]:
    return [one.id for one in server.log(space)]


# ------------------------------------------------------------------------------------------ what git users expect


def test_the_real_ref_and_range(server: Server, author: Author) -> None:
    first, second = author.intent(), author.intents(2)[-1]
    done = run_git(author.path, ["push", "--porcelain", str(server.path), f"{first}:{APPEND}"])
    assert done.returncode == 0
    assert f"*\t{first}:{GARDEN}\t[new reference]\n" in done.stdout.decode()
    old = str(server.tip(GARDEN))
    done = run_git(author.path, ["push", "--porcelain", str(server.path), f"{second}:{APPEND}"])
    assert f" \t{second}:{GARDEN}\t{old[:7]}..{str(server.tip(GARDEN))[:7]}\n" in done.stdout.decode()
    done = run_git(author.path, ["push", "--porcelain", str(server.path), f"{first}:{APPEND}"])
    assert f"\t{first}:{GARDEN}\t[new reference]\n" in done.stdout.decode()  # what its landing was
    bad = author.intent("other")
    done = run_git(author.path, ["push", "--porcelain", str(server.path), f"{bad}:{APPEND}"])
    assert done.returncode == 1
    assert f"!\t{bad}:{APPEND}\t[remote rejected] (pre-receive hook declined)\n" in done.stdout.decode()


@pytest.mark.parametrize("options", [["--dry-run"], ["-n", "--porcelain"]])
def test_a_dry_run_reaches_no_hook(server: Server, author: Author, options: list[str]) -> None:
    """git answers it alone, whatever would become of the push."""
    assert author.push(server, f"{author.intent('other')}:{APPEND}", options=options).landed
    assert server.refs() == {} and not (server.path / "coordjournal").exists()


@pytest.mark.parametrize(
    "options",
    [["-f"], ["--atomic"], ["--force-with-lease"], ["--thin", "--verbose"], ["--no-verify", "--progress"], ["--quiet"]],
    ids=" ".join,
)
def test_options_that_change_nothing(server: Server, author: Author, options: list[str]) -> None:
    specs = [f"{author.intent()}:{APPEND}", f"+{author.intent('other')}:refs/append/other"]
    pushed = author.push(server, *specs, options=options)
    assert pushed.landed, pushed.said
    assert set(server.refs()) == {GARDEN, "refs/spaces/other"}
    assert (GARDEN in pushed.said) == ("--quiet" not in options)


@pytest.mark.parametrize("offered", ["true", "false"])
def test_push_options(server: Server, author: Author, offered: str) -> None:
    """Nobody asks for any, and they do no harm where the server takes them."""
    server.set("receive.advertisePushOptions", offered)
    assert author.push(server, f"{author.intent()}:{APPEND}").landed
    pushed = author.push(server, f"{author.intent()}:{APPEND}", options=["-o", "topic=x", "-o", "y"])
    assert pushed.landed == (offered == "true")
    assert len(server.log()) == 1 + pushed.landed


def test_other_refs_that_git_hands_over_are_moved_as_ever(server: Server, author: Author) -> None:
    server.git("config", "--add", "receive.procReceiveRefs", "refs/heads")
    intent = author.intent()
    assert author.push(server, f"{intent}:refs/heads/draft").landed
    assert server.refs()["refs/heads/draft"] == intent
    assert author.push(server, f"{intent}:{APPEND}").landed


def test_the_name_of_a_branch(server: Server, author: Author) -> None:
    author.git("update-ref", "refs/heads/draft", author.intents(2)[-1])
    for spec in (f"draft:{APPEND}", f"refs/heads/draft:{APPEND}", f"draft~1:{APPEND}"):
        assert author.push(server, spec).landed
    assert len(server.log()) == 2
    assert author.push(server, "refs/heads/draft:refs/append/garden", options=["--all"]).status != 0


def test_a_remote_that_pushes_there_by_itself(server: Server, author: Author) -> None:
    author.git("update-ref", "refs/heads/draft2", author.intent())
    settings = [f"remote.x.url={server.path}", f"remote.x.push=refs/heads/draft2:{APPEND}"]
    done = run_git(author.path, [word for one in settings for word in ("-c", one)] + ["push", "x"])
    assert done.returncode == 0 and len(server.log()) == 1


def test_many_intents_that_wait_are_reported_each(server: Server, author: Author) -> None:
    assert author.push(server, f"{author.intent(**acquisition('node-a'))}:{APPEND}").landed
    chain = author.intents(3)
    done = run_git(author.path, ["push", "--porcelain", str(server.path), f"{chain[-1]}:{APPEND}"])
    told = [line.split("\t")[1].partition(":")[2] for line in done.stdout.decode().splitlines() if "\t" in line]
    assert told == [f"refs/intents/garden/{name}" for name in server.inbox()]


# --------------------------------------------------------------------------------------------- the hooks around it


HOOK = """#!/bin/sh
{ echo "$@"; cat; env | grep '^GIT_' | sort; pwd; } >> said-SELF
echo out of SELF
echo err of SELF >&2
"""


def said(server: Server, hook: str) -> list[str]:
    path = server.path / f"said-{hook}"
    return path.read_text().splitlines() if path.exists() else []


def test_the_update_hook_is_asked_about_the_real_refs(server: Server, author: Author) -> None:
    write_program(server.path / "hooks" / "update", HOOK.replace("SELF", "update"))
    for _ in range(2):
        old = server.tip(GARDEN) or ZERO
        pushed = author.push(server, f"{author.intent()}:{APPEND}", f"{author.intent('b')}:refs/append/b")
        assert pushed.landed, pushed.said
        assert "out of update" in pushed.said and "err of update" in pushed.said
        assert f"{GARDEN} {old} {server.tip(GARDEN)}" in said(server, "update")
    heads = [line.split()[0] for line in said(server, "update") if line.startswith("refs/")]
    assert sorted(heads) == sorted([GARDEN, "refs/spaces/b"] * 2)
    assert "GIT_DIR=." in said(server, "update")
    assert not any("QUARANTINE" in line for line in said(server, "update"))
    assert str(server.path) in said(server, "update")


def test_the_update_hook_sees_the_commits(server: Server, author: Author) -> None:
    write_program(server.path / "hooks" / "update", "#!/bin/sh\ngit cat-file commit $3 > seen\n")
    assert author.push(server, f"{author.intent()}:{APPEND}").landed
    assert (server.path / "seen").read_bytes() == server.git("cat-file", "commit", GARDEN)


def test_the_update_hook_declines(server: Server, author: Author) -> None:
    """One ref is enough, for all of them; which one, and who can help, is told."""
    write_program(server.path / "hooks" / "update", '#!/bin/sh\necho "not you, $USER"\ntest "$1" != refs/spaces/b\n')
    intents = [author.intent(), author.intent("b")]
    specs = [f"{intents[0]}:{APPEND}", f"{intents[1]}:refs/append/b"]
    pushed = author.push(server, *specs)
    assert not pushed.landed and server.refs() == {}
    assert "not you" in pushed.said
    [told] = pushed.told
    assert (told.ref, told.code) == ("refs/append/b", "update-hook") and told.remedy
    assert told.commit == intents[1]
    assert [entry["code"] for entry in server.refusals()] == ["update-hook"]
    assert pushed.said.count("[remote rejected]") == 2 and "(update-hook)" in pushed.said
    assert author.push(server, specs[0]).landed


def test_the_update_hook_is_asked_about_the_inbox(server: Server, author: Author) -> None:
    """Else whoever may not write could have the holder of the lease write for him."""
    assert author.push(server, f"{author.intent(**acquisition('node-a'))}:{APPEND}").landed
    write_program(server.path / "hooks" / "update", "#!/bin/sh\necho $1 $2 >> asked\nexit 1\n")
    pushed = author.push(server, f"{author.intent()}:{APPEND}")
    assert [one.code for one in pushed.told] == ["update-hook"]
    assert server.inbox() == {}
    [asked] = (server.path / "asked").read_text().splitlines()
    assert asked.startswith("refs/intents/garden/") and asked.endswith(ZERO)


def test_an_update_hook_that_git_would_ignore(server: Server, author: Author) -> None:
    (server.path / "hooks" / "update").write_text("#!/bin/sh\nexit 1\n")
    assert author.push(server, f"{author.intent()}:{APPEND}").landed


def test_an_update_hook_without_a_first_line(server: Server, author: Author) -> None:
    write_program(server.path / "hooks" / "update", 'echo "$1" > asked\nexit 1\n')
    assert not author.push(server, f"{author.intent()}:{APPEND}").landed
    assert (server.path / "asked").read_text() == f"{GARDEN}\n"


def test_an_update_hook_that_cannot_run(server: Server, author: Author) -> None:
    write_program(server.path / "hooks" / "update", "#!/nowhere/sh\n")
    pushed = author.push(server, f"{author.intent()}:{APPEND}")
    assert not pushed.landed and "cannot judge" in pushed.said
    assert server.refs() == {}


def test_an_update_hook_that_reads_its_input(server: Server, author: Author) -> None:
    """It never reads what git says to proc-receive."""
    write_program(server.path / "hooks" / "update", "#!/bin/sh\ncat > read\n")
    assert author.push(server, f"{author.intent()}:{APPEND}").landed
    assert (server.path / "read").read_bytes() == b""


def test_hooks_elsewhere_in_the_repository(server: Server, author: Author) -> None:
    (server.path / "hooks").rename(server.path / "own")
    server.set("core.hooksPath", str(server.path / "own"))
    write_program(server.path / "own" / "update", "#!/bin/sh\necho $1 > asked\n")
    assert author.push(server, f"{author.intent()}:{APPEND}").landed
    assert (server.path / "asked").read_text() == f"{GARDEN}\n"
    server.set("core.hooksPath", "own")
    assert author.push(server, f"{author.intent()}:{APPEND}").landed


def test_post_receive_sees_what_really_moved(server: Server, author: Author) -> None:
    for hook in ("post-receive", "post-update"):
        write_program(server.path / "hooks" / hook, HOOK.replace("SELF", hook))
    assert author.push(server, f"{author.intent()}:{APPEND}").landed
    tip = server.tip(GARDEN)
    assert f"{ZERO} {tip} {GARDEN}" in said(server, "post-receive")
    assert author.push(server, f"{author.intents(2)[-1]}:{APPEND}").landed
    assert f"{tip} {server.tip(GARDEN)} {GARDEN}" in said(server, "post-receive")
    assert not any("refs/append" in line for line in said(server, "post-receive"))


def test_a_previous_pre_receive_hook_sees_the_append(server: Server, author: Author) -> None:
    write_program(server.path / "hooks" / "pre-receive.before-coordjournal", HOOK.replace("SELF", "before"))
    intent = author.intent()
    assert author.push(server, f"{intent}:{APPEND}").landed
    assert f"{ZERO} {intent} {APPEND}" in said(server, "before")


# --------------------------------------------------------------------------------------------- the conversation


def line(text: bytes) -> bytes:
    return b"%04x" % (len(text) + 4) + text


def hear(server: Server, heard: bytes, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """Runs the hook as git does, on what git might say."""
    return subprocess.run(
        [interpreter(), "-IS", "hooks/proc-receive"],
        input=heard,
        capture_output=True,
        cwd=server.path,
        env={"PATH": os.environ["PATH"], "GIT_DIR": ".", **environment},
        check=False,
    )


def commands(*updates: tuple[str, str]) -> bytes:
    """What git says: (ref, commit) each."""
    told = b"".join(line(f"{ZERO} {commit} {ref}".encode()) for ref, commit in updates)
    return line(b"version=1\0push-options atomic") + b"0000" + told + b"0000"


OPENING = line(b"version=1\0atomic push-options") + b"0000"


def test_what_it_answers(server: Server, author: Author) -> None:
    intent = author.intent()
    author.git("update-ref", "refs/heads/answers", intent)
    server.git("fetch", "-q", str(author.path), "refs/heads/answers")
    done = hear(server, commands((APPEND, intent)) + line(b"an option") + b"0000")
    tip = str(server.tip(GARDEN))
    report = [f"ok {APPEND}", f"option refname {GARDEN}", f"option old-oid {ZERO}", f"option new-oid {tip}"]
    assert done.stdout == OPENING + b"".join(line(text.encode()) for text in report) + b"0000"
    assert done.returncode == 0
    other = hear(server, commands((APPEND, author.blob(b"x"))) + b"0000")
    assert other.returncode == 1 and "is missing" in other.stderr.decode()
    plain = hear(server, commands((APPEND, intent)).replace(b"push-options", b"ush-options2"))
    assert plain.stdout.startswith(line(b"version=1\0atomic") + b"0000")


def test_a_conversation_that_breaks_off(server: Server, author: Author) -> None:
    """Wherever: nothing is changed, and git hears of no success."""
    intent = author.intent()
    author.git("update-ref", "refs/heads/break", intent)
    server.git("fetch", "-q", str(author.path), "refs/heads/break")
    whole = commands((APPEND, intent)) + b"0000"
    for end in (0, 3, 4, 20, 40, len(line(b"version=1\0push-options atomic")) + 4, 60, len(whole) - 8, len(whole) - 3):
        done = hear(server, whole[:end])
        assert done.returncode == 1, end
        assert b"ok " not in done.stdout and b"Traceback" not in done.stderr
    assert server.refs() == {}
    assert hear(server, whole).returncode == 0
    assert set(server.refs()) == {GARDEN}


@pytest.mark.parametrize(
    "heard",
    [
        b"0000",
        line(b"version=2\0atomic") + b"0000",
        line(b"hello") + b"0000",
        b"zzzz",
        b"\xff\xff\xff\xff",
        line(b"version=1") + b"0000" + line(b"one two") + b"0000",
        line(b"version=1") + b"0000" + line(b"") + b"0000",
        line(b"version=1") + b"0000" + line(f"{ZERO} {'1' * 40} refs/append/%67arden".encode()) + b"0000",
        line(b"version=1") + b"0000" + line(f"{ZERO} {ZERO} {APPEND}".encode()) + b"0000",
        line(b"version=1") + b"0000" + line(f"{ZERO} {'1' * 40} refs/append/\xff".encode("latin-1")) + b"0000",
    ],
)
def test_a_conversation_that_git_never_has(server: Server, heard: bytes) -> None:
    done = hear(server, heard)
    assert done.returncode == 1 and b"cannot judge" in done.stderr
    assert b"ok " not in done.stdout
    assert server.refs() == {}
    assert [entry["code"] for entry in server.refusals()] == ["undecided"]


def test_no_commands(server: Server) -> None:
    done = hear(server, line(b"version=1") + b"0000" + b"0000")
    assert (done.returncode, done.stdout) == (0, line(b"version=1\0atomic") + b"0000" + b"0000")


def test_a_pusher_who_is_gone_when_it_is_answered(server: Server, author: Author) -> None:
    """It landed: that nobody hears so is no refusal, and the log of refusals has none."""
    intent = author.intent()
    author.git("update-ref", "refs/heads/gone", intent)
    server.git("fetch", "-q", str(author.path), "refs/heads/gone")
    reader, writer = os.pipe()
    hook = subprocess.Popen(
        [interpreter(), "-IS", "hooks/proc-receive"],
        stdin=subprocess.PIPE,
        stdout=writer,
        stderr=subprocess.DEVNULL,
        cwd=server.path,
        env={"PATH": os.environ["PATH"], "GIT_DIR": "."},
    )
    os.close(writer)
    assert hook.stdin
    hook.stdin.write(line(b"version=1") + b"0000")
    hook.stdin.flush()
    os.read(reader, 100)
    os.close(reader)
    hook.stdin.write(line(f"{ZERO} {intent} {APPEND}".encode()) + b"0000")
    hook.stdin.close()
    hook.wait()
    assert ids(server) == [author.id(intent)]
    assert server.refusals() == []


def test_pkt_lines_have_an_end() -> None:
    assert proc_receive._lines(io.BytesIO(line(b"a") + line(b"b") + b"0000rest")) == [b"a", b"b"]
    with pytest.raises(ValueError):
        proc_receive._lines(io.BytesIO(line(b"abc")[:-1]))


# ------------------------------------------------------------------------------------------------ killed, anywhere


KILLED = """import posix
_count, _last = 0, int(open("last").read())
def _counted(function):
    def call(*arguments, **more):
        global _count
        _count += 1
        if _count == _last:
            posix.kill(posix.getpid(), 9)
        return function(*arguments, **more)
    return call
for _name in ("posix_spawnp", "write", "rename", "pwrite", "mkdir", "truncate", "unlink"):
    setattr(posix, _name, _counted(getattr(posix, _name)))
"""


def whole(server: Server) -> None:
    server.git("fsck", "--strict", "--no-dangling", "--no-progress")
    assert server.locks() == []


def objects(server: Server, author: Author, *commits: str) -> None:
    """Brings commits into the server, as a push has when the hook starts."""
    for commit in commits:
        author.git("update-ref", f"refs/heads/{commit}", commit)
    server.git("fetch", "-q", str(author.path), *(f"refs/heads/{commit}" for commit in commits))


def test_the_hook_killed_at_each_step(server: Server, author: Author, tmp_path: Path) -> None:
    """A chain for one space, where two intents have waited for a lease that is over, and an intent for another.

    Before each call by which it changes anything or starts a process: every log is where it was or where it
    belongs, and the same push again lands all of it once.
    """
    server.set("coordjournal.clockSkew", 0)
    chain, other, waiting = author.intents(2), author.intent("b"), [author.intent() for _ in range(2)]
    root = author.decision("garden", 0)
    objects(server, author, root, chain[-1], other, *waiting)
    server.git("update-ref", GARDEN, root)
    for number, oid in enumerate(waiting):
        server.git("update-ref", f"refs/intents/garden/{number:016}-{author.id(oid)}", oid)
    due = [author.id(oid) for oid in (root, *waiting, *chain)]
    server.before("proc-receive", KILLED)
    heard = commands((APPEND, chain[-1]), ("refs/append/b", other)) + b"0000"
    before = server.refs()
    after = {GARDEN, "refs/spaces/b"}

    def killed(last: int) -> tuple[bool, bool]:
        """Whether it was, before its ``last`` step, and whether nothing had moved then."""
        copy = server.copy(tmp_path / f"{last}.git")
        (copy.path / "last").write_text(str(last))
        done = hear(copy, heard)
        refs = copy.refs()
        assert refs == before or (set(refs) == after and refs[GARDEN] != root), (last, refs)
        if done.returncode:
            assert done.returncode == -signal.SIGKILL, done.stderr.decode()
            (copy.path / "last").write_text("0")
            again = hear(copy, heard)
            assert again.returncode == 0, (last, again.stderr.decode())
        assert (ids(copy), ids(copy, "b"), copy.inbox()) == (due, [author.id(other)], {}), last
        if last % 8 == 0 or not done.returncode:
            whole(copy)
        shutil.rmtree(copy.path)
        return done.returncode != 0, refs == before

    found: list[tuple[bool, bool]] = []
    with ThreadPoolExecutor(2) as pool:
        while (not found or all(died for died, _ in found)) and len(found) < 200:
            found += pool.map(killed, range(len(found) + 1, len(found) + 5))
    steps = [unmoved for died, unmoved in found if died]
    assert 20 < len(steps) < 200 and set(steps) == {True, False}
    assert [died for died, _ in found[: len(steps)]] == [True] * len(steps)


@pytest.mark.parametrize("moment", ["prepared", "committed"])
def test_git_killed_while_it_moves_the_refs(server: Server, author: Author, moment: str) -> None:
    """Locks stay where it is killed before it lets go of them; the next push a minute later removes them."""
    assert author.push(server, f"{author.intent()}:{APPEND}").landed
    killer = write_program(
        server.path / "hooks" / "reference-transaction",
        f'#!/bin/sh\ntest "$1" = {moment} && kill -9 $PPID\nexit 0\n',
    )
    server.before("proc-receive", "from coordjournal import sequence\nsequence._WAIT = '50'\n")
    intents = [author.intent(), author.intent("b")]
    specs = [f"{intents[0]}:{APPEND}", f"{intents[1]}:refs/append/b"]
    pushed = author.push(server, *specs)
    assert len(server.log()) in (1, 2) and len(server.log("b")) in (0, 1)
    killer.unlink()
    for lock in server.locks():
        os.utime(server.path / lock, (0, 0))
    pushed = author.push(server, *specs)
    assert pushed.landed, pushed.said
    assert ids(server)[1:] == [author.id(intents[0])] and ids(server, "b") == [author.id(intents[1])]
    whole(server)


@pytest.mark.parametrize("command", ["config", "cat-file", "for-each-ref", "unpack-objects", "update-ref"])
def test_a_git_process_that_dies_at_once(server: Server, author: Author, command: str, tmp_path: Path) -> None:
    assert author.push(server, f"{author.intent()}:{APPEND}").landed
    refs = server.refs()
    real = shutil.which("git")
    fake = tmp_path / "bin"
    fake.mkdir()
    script = f'for word in "$@"; do test "$word" = {command} && kill -9 $$; done\nexec {real} "$@"\n'
    write_program(fake / "git", f"#!/bin/sh\n{script}")
    intent = author.intent()
    objects(server, author, intent)
    done = hear(server, commands((APPEND, intent)) + b"0000", PATH=f"{fake}:{os.environ['PATH']}")
    assert done.returncode == 1 and b"ok " not in done.stdout
    assert server.refs() == refs
    assert author.push(server, f"{intent}:{APPEND}").landed
    assert len(server.log()) == 2
    whole(server)


@pytest.mark.parametrize("hook, moment", [("pre-receive", "start"), ("proc-receive", "start"), ("proc-receive", "end")])
def test_receive_pack_killed(server: Server, author: Author, hook: str, moment: str) -> None:
    """The client hears nothing, and pushes again."""
    kill = "import posix\n_kill = lambda: posix.kill(posix.getppid(), 9)\n"
    end = "from coordjournal import sequence\n_land = sequence.land\n"
    end += "def _landed(*all):\n    plans = _land(*all)\n    _kill()\n    return plans\nsequence.land = _landed\n"
    text = (server.path / "hooks" / hook).read_text()
    server.before(hook, kill + ("_kill()\n" if moment == "start" else end))
    intent = author.intent()
    assert not author.push(server, f"{intent}:{APPEND}").landed
    write_program(server.path / "hooks" / hook, text)
    pushed = author.push(server, f"{intent}:{APPEND}")
    assert pushed.landed, pushed.said
    assert ids(server) == [author.id(intent)]
    whole(server)


@pytest.mark.parametrize("hook", ["pre-receive", "proc-receive"])
def test_the_client_killed(server: Server, author: Author, hook: str) -> None:
    """It is gone while the hook runs, who goes on or not; the next one lands it once."""
    server.before(hook, "import posix\nposix.kill(int(open('client').read()), 9)\n")
    intent = author.intent()
    client = subprocess.Popen(
        ["sh", "-c", f"echo $$ > {server.path}/client; exec git push -q {server.path} {intent}:{APPEND}"],
        cwd=author.path,
        stderr=subprocess.DEVNULL,
    )
    assert client.wait() == -signal.SIGKILL
    (server.path / "client").write_text("0")
    write_program(server.path / "hooks" / hook, (server.path / "hooks" / hook).read_text().replace("posix.kill", "int"))
    text = (server.path / "hooks" / hook).read_text().replace("int(int(open('client').read()), 9)", "pass")
    write_program(server.path / "hooks" / hook, text)
    pushed = author.push(server, f"{intent}:{APPEND}")
    assert pushed.landed, pushed.said
    assert ids(server) == [author.id(intent)]
    whole(server)


# -------------------------------------------------------------------------------------------------- the hot path


def test_an_intent_that_lands_imports_nothing_heavy(server: Server, author: Author) -> None:
    """Each of these costs more than the work itself."""
    listing = (
        "import posix, sys\n_exit = posix._exit\n"
        "def _listed(status):\n"
        '    open("modules", "w").write("\\n".join(sys.modules))\n'
        "    _exit(status)\n"
        "posix._exit = _listed\n"
    )
    server.before("proc-receive", listing)
    for _ in range(2):
        assert author.push(server, f"{author.intent()}:{APPEND}").landed
    modules = set((server.path / "modules").read_text().split())
    heavy = {"re", "json", "subprocess", "typing", "hashlib", "dataclasses", "enum", "functools", "collections"}
    heavy |= {"contextlib", "datetime", "pathlib", "signal", "select", "threading", "sqlite3", "os", "traceback"}
    assert not modules & (heavy | {"dulwich", "jsonschema", "click"})
    ours = {name.removeprefix("coordjournal.") for name in modules if name.startswith("coordjournal.")}
    assert ours == {
        *("errors", "text", "refs", "timestamp", "canonical", "commit", "accept", "trailer", "law", "admission"),
        *("gitread", "chain", "guard", "ids", "intents", "kept", "ondisk", "packing", "placing", "sequence", "stale"),
        *("turn", "proc_receive"),
    }
