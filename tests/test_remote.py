"""The remote: what git and the other side say becomes the right answer or the right error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import pytest
from pushing import Author, write_program
from support import decide, git, run

from coordjournal import Journal, guard
from coordjournal.errors import GitFailed, Refused, RemoteUnreachable
from coordjournal.remote import NotSequencing, Remote, refusals

Bare = Callable[..., Path]


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """A bare repository without hooks."""
    run("git", "init", "--quiet", "--bare", tmp_path / "server.git")
    return tmp_path / "server.git"


@pytest.fixture
def client(tmp_path: Path) -> Path:
    run("git", "init", "--quiet", "--bare", tmp_path / "client.git")
    return tmp_path / "client.git"


def to(client: Path, server: Path | str) -> Remote:
    git(client, "remote", "add", "origin", str(server))
    return Remote(str(client), "origin")


def hook(server: Path, name: str, script: str) -> Path:
    path = server / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("said", ["cannot read", "unable to create temporary file: No such file or directory"])
def test_a_git_that_prunes_is_faster(
    server: Path, client: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """It removes the folder in which another one is about to write, which fails: that one is asked again."""
    git(server, "update-ref", "refs/spaces/garden", decide(server))
    remote = to(client, server)
    (tmp_path / "bin").mkdir()
    write_program(
        tmp_path / "bin" / "git",
        f"#!/bin/sh\necho >>{tmp_path}/asked\nif [ $(wc -l <{tmp_path}/asked) -le 2 ]; then\n"
        f"  echo 'error: {said}' >&2; exit 1\nfi\nexec {shutil.which('git')} \"$@\"\n",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    if said == "cannot read":
        with pytest.raises(RemoteUnreachable, match=said):
            remote.fetch_objects("garden")
    else:
        remote.fetch_objects("garden")
    assert (tmp_path / "asked").read_text().count("\n") >= (1 if said == "cannot read" else 3)


# -- tips ------------------------------------------------------------------------------------------------------------


def test_what_is_secret_in_a_url_is_not_told() -> None:
    with pytest.raises(RemoteUnreachable) as unreachable:
        Remote("", "http://alice:secret@127.0.0.1:1/wiki.git").tips()
    assert str(unreachable.value).startswith("cannot read http://alice@127.0.0.1:1/wiki.git: ")
    assert "secret" not in str(unreachable.value)


def test_tips_are_the_logs_and_the_descriptor(server: Path, client: Path) -> None:
    one = decide(server)
    for ref in ("refs/spaces/garden", "refs/spaces/a%2Fb", "refs/meta/coordjournal"):
        git(server, "update-ref", ref, one)
    for ref in ("refs/spaces/UPPER", "refs/spaces/deep/er", "refs/heads/refs/spaces/x", "refs/heads/main"):
        git(server, "update-ref", ref, one)
    assert to(client, server).tips() == ({"garden": one, "a/b": one}, one)


def test_an_empty_remote_has_no_tips(server: Path, client: Path) -> None:
    assert to(client, server).tips() == ({}, None)


def test_a_url_is_never_an_option(client: Path, tmp_path: Path) -> None:
    with pytest.raises(RemoteUnreachable):
        Remote(str(client), f"--upload-pack=touch {tmp_path}/owned;").tips()
    assert not (tmp_path / "owned").exists()


def test_what_git_says_is_told_on_one_line_and_safe_for_a_terminal(client: Path, tmp_path: Path) -> None:
    helper = tmp_path / "helper"
    helper.write_text("#!/bin/sh\nprintf 'first \\033[31m\\nsecond\\n' >&2\nexit 1\n")
    helper.chmod(0o755)
    git(client, "config", "core.sshCommand", str(helper))
    with pytest.raises(RemoteUnreachable) as error:
        to(client, "ssh://host/x.git").tips()
    assert "first \\u{1b}[31m; second" in str(error.value)
    assert "\x1b" not in str(error.value) and "\n" not in str(error.value)


def test_the_callers_repository_is_not_asked(
    server: Path, client: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = decide(server)
    git(server, "update-ref", "refs/spaces/garden", one)
    remote = to(client, server)
    for name in ("GIT_DIR", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_QUARANTINE_PATH"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    assert remote.tips()[0] == {"garden": one}
    remote.fetch({"refs/spaces/garden": "refs/coordjournal-incoming/garden"})
    monkeypatch.undo()
    assert git(client, "rev-parse", "refs/coordjournal-incoming/garden") == one


def test_without_git_it_is_git_that_failed(client: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(GitFailed, match="not installed"):
        Remote(str(client), "origin").tips()


# -- fetch -----------------------------------------------------------------------------------------------------------


def test_a_fetch_takes_what_it_was_told_and_nothing_else(server: Path, client: Path) -> None:
    one = decide(server)
    for ref in ("refs/spaces/garden", "refs/spaces/other", "refs/heads/main", "refs/tags/v1"):
        git(server, "update-ref", ref, one)
    remote = to(client, server)
    for key, value in (("fetch.prune", "true"), ("remote.origin.tagOpt", "--tags"), ("fetch.writeCommitGraph", "true")):
        git(client, "config", key, value)
    git(client, "update-ref", "refs/coordjournal/origin/kept", decide(client))
    remote.fetch({"refs/spaces/garden": "refs/coordjournal-incoming/garden"})
    refs = git(client, "for-each-ref", "--format=%(refname)").splitlines()
    assert refs == ["refs/coordjournal-incoming/garden", "refs/coordjournal/origin/kept"]
    assert not (client / "FETCH_HEAD").exists()


def test_a_ref_that_is_locked_here_is_not_the_remotes_fault(server: Path, client: Path) -> None:
    git(server, "update-ref", "refs/spaces/garden", decide(server))
    lock = client / "refs" / "coordjournal-incoming" / "garden.lock"
    lock.parent.mkdir()
    lock.touch()
    with pytest.raises(GitFailed, match=r"garden\.lock"):
        to(client, server).fetch({"refs/spaces/garden": "refs/coordjournal-incoming/garden"})


def test_a_ref_that_is_gone_cannot_be_fetched(server: Path, client: Path) -> None:
    with pytest.raises(RemoteUnreachable, match="refs/spaces/gone"):
        to(client, server).fetch({"refs/spaces/gone": "refs/coordjournal-incoming/gone"})


# -- push ------------------------------------------------------------------------------------------------------------


def test_a_push_is_a_compare_and_swap(server: Path, client: Path) -> None:
    remote = to(client, server)
    one = decide(client)
    two = decide(client, parent=one, seq=1)
    assert not remote.push("garden", one, two)
    assert remote.push("garden", None, one)
    assert not remote.push("garden", None, two)
    assert remote.push("garden", one, two)
    assert not remote.push("garden", one, two) or git(server, "rev-parse", "refs/spaces/garden") == two
    assert not remote.push("garden", one, decide(client, parent=one, seq=1, target="s:other"))
    assert git(server, "rev-parse", "refs/spaces/garden") == two


def test_a_race_that_the_server_sees_is_a_lost_race(server: Path, client: Path) -> None:
    """The tip moves after the client was told it, when the hook has passed the push already."""
    other = decide(server)
    hook(server, "pre-receive", f"unset GIT_QUARANTINE_PATH; git update-ref refs/spaces/garden {other}\n")
    assert not to(client, server).push("garden", None, decide(client))
    assert git(server, "rev-parse", "refs/spaces/garden") == other


def test_a_race_that_our_hook_sees_is_a_lost_race(bare: Bare, tmp_path: Path) -> None:
    """Of a long chain the hook asks where the log is, and finds that it has moved since the client was told."""
    server, author = bare(), Author(tmp_path / "author.git")
    other, chain = author.decision("garden", 0), author.chain("garden", 120)
    author.git("update-ref", "refs/heads/other", other)
    git(server, "fetch", "--quiet", str(author.path), "refs/heads/other")
    (server / "hooks" / "pre-receive").rename(server / "hooks" / "ours")
    move = f"(unset GIT_QUARANTINE_PATH; git update-ref refs/spaces/garden {other})\n"
    hook(server, "pre-receive", f"{move}exec {server}/hooks/ours\n")
    assert not to(author.path, server).push("garden", None, chain[-1])
    assert git(server, "rev-parse", "refs/spaces/garden") == other
    assert '"not-fast-forward"' in (server / guard.LOG).read_text()


def test_nothing_but_the_log_is_pushed(server: Path, client: Path) -> None:
    remote = to(client, server)
    one = decide(client)
    git(client, "tag", "-a", "-m", "a note", "v1", one)
    git(client, "config", "push.followTags", "true")
    assert remote.push("garden", None, one)
    assert git(server, "for-each-ref", "--format=%(refname)") == "refs/spaces/garden"


def test_a_refusal_of_the_hook_is_read_back(bare: Bare, client: Path) -> None:
    remote = to(client, bare())
    one = decide(client, seq=5)
    with pytest.raises(Refused) as refused:
        remote.push("garden", None, one)
    error = refused.value
    assert (error.code, error.place, error.ref, error.commit) == ("seq", "trailer Seq", "refs/spaces/garden", one)
    assert error.what and error.remedy and error.incident


def test_colours_do_not_hide_a_refusal(bare: Bare, client: Path) -> None:
    git(client, "config", "color.ui", "always")
    remote = to(client, bare())
    with pytest.raises(Refused):
        remote.push("garden", None, decide(client, seq=5))
    assert remote.push("garden", None, decide(client))
    assert not remote.push("garden", None, decide(client))


@pytest.mark.parametrize("space", ["garden", "non-fast-forward", "incorrect.fetch-first"])
def test_another_hooks_refusal_is_no_lost_race(server: Path, client: Path, space: str) -> None:
    remote = to(client, server)
    hook(server, "update", "echo 'failed to lock the door: fetch first' >&2; exit 1\n")
    with pytest.raises(GitFailed, match="door"):
        remote.push(space, None, decide(client, space))


def test_a_hidden_ref_is_no_lost_race(server: Path, client: Path) -> None:
    git(server, "config", "receive.hideRefs", "refs/spaces")
    with pytest.raises(GitFailed, match="hidden"):
        to(client, server).push("non-fast-forward", None, decide(client, "non-fast-forward"))


def test_nobody_there_is_unreachable(client: Path, tmp_path: Path) -> None:
    with pytest.raises(RemoteUnreachable):
        to(client, tmp_path / "nowhere.git").push("garden", None, decide(client))


def test_a_server_that_dies_is_unreachable(server: Path, client: Path) -> None:
    hook(server, "pre-receive", "kill -9 $PPID\n")
    with pytest.raises(RemoteUnreachable):
        to(client, server).push("garden", None, decide(client))


@pytest.mark.parametrize("report", ["", "0013\\x01000eunpack ok\\n0000"], ids=["nothing", "half a report"])
def test_a_connection_that_breaks_before_the_report_is_unreachable(
    server: Path, client: Path, tmp_path: Path, report: str
) -> None:
    git(client, "config", "core.sshCommand", str(deaf(tmp_path, report)))
    one = decide(client)
    with pytest.raises(RemoteUnreachable):
        to(client, f"ssh://host{server}").push("garden", None, one)
    assert git(server, "rev-parse", "refs/spaces/garden") == one


def deaf(folder: Path, report: str = "") -> Path:
    """Stands for ssh: runs the server here, and of its report on a push comes back only ``report``."""
    path = folder / "deaf-ssh"
    path.write_text(
        f"#!{sys.executable} -IS\n"
        "import subprocess, sys\n"
        "command = sys.argv[-1]\n"
        "if 'receive-pack' not in command:\n"
        "    sys.exit(subprocess.call(['sh', '-c', command]))\n"
        "server = subprocess.Popen(['sh', '-c', command], stdout=subprocess.PIPE)\n"
        "size = -1\n"
        "while size:  # the refs, up to the flush packet\n"
        "    head = server.stdout.read(4)\n"
        "    size = int(head, 16)\n"
        "    sys.stdout.buffer.write(head + server.stdout.read(max(0, size - 4)))\n"
        "sys.stdout.flush()\n"
        "server.communicate()\n"
        f"sys.stdout.buffer.write(b'{report}')\n"
    )
    path.chmod(0o755)
    return path


# -- the words of the hook -------------------------------------------------------------------------------------------


def told(*given: Refused) -> list[Refused]:
    """The refusals, told by the hook, printed by git, and read back."""
    for refusal in given:
        refusal.incident = "0123456789"
    said = guard.explain(list(given), logged=True)
    return list(refusals("".join(f"remote: {line}        \n" for line in said.splitlines()) + "To x\n ! [rejected]\n"))


@pytest.mark.parametrize(
    "refusal",
    [
        Refused("schema", "too long", "payload.alias", "see it", ref="refs/spaces/a", commit="1" * 40, seq=7),
        Refused("clock", "at 10:00: too late", "header committer", ref="refs/spaces/a", commit="2" * 40, seq=0),
        Refused("deleted", "a log is never deleted", "", "nothing", ref="refs/spaces/a", commit="3" * 40),
        Refused("extension-schema", "no: not so", "payload.key: with: colons", ref="refs/spaces/a", commit="4" * 64),
        Refused("extension-schema", "no", "payload.a:b", ref="refs/spaces/a", commit="4" * 40),
        Refused("bad-json", "-> odd", "", "-> odder", ref="refs/spaces/%C3%9F", commit="5" * 40, seq=12345),
    ],
    ids=lambda refusal: refusal.code,
)
def test_what_the_hook_tells_is_what_is_read(refusal: Refused) -> None:
    (back,) = told(refusal)
    for name in ("code", "remedy", "ref", "commit", "seq", "incident"):
        assert getattr(back, name) == getattr(refusal, name), name
    assert str(back) == str(refusal)  # where the place ends is lost if it holds a colon and a space itself


def test_several_refusals_are_read_apart() -> None:
    given = [Refused("seq", f"wrong {n}", ref=f"refs/spaces/{n}", commit=str(n) * 40, seq=n) for n in range(3)]
    assert [(back.ref, back.what) for back in told(*given)] == [(r.ref, r.what) for r in given]


@pytest.mark.parametrize("said", ["", "remote: no\n", "remote:   seq: without a ref\n", "remote: \n" * 3])
def test_other_words_are_no_refusals(said: str) -> None:
    assert list(refusals(said)) == []



# -- the sequencer ---------------------------------------------------------------------------------------------------


def intent(client: Path, parent: str | None = None) -> str:
    """An intent in a repository: a decision commit without its trailer."""
    raw = git(client, "cat-file", "commit", decide(client, parent=parent)).rpartition("\n\nSeq: ")[0] + "\n"
    return git(client, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw.encode())


def test_a_sequencer_says_where_it_put_what_it_got(bare: Bare, client: Path) -> None:
    path = bare()
    remote = to(client, path)
    one = intent(client)
    assert [went.ref for went in remote.submit("garden", one)] == ["refs/spaces/garden"]
    tip = git(path, "rev-parse", "refs/spaces/garden")
    assert [went.ref for went in remote.submit("garden", one)] == ["refs/spaces/garden"]
    assert git(path, "rev-parse", "refs/spaces/garden") == tip
    assert remote.waiting("garden") == {}
    with Journal.open(path) as server, server.space("garden").lease("node-a", ttl=300):
        two = intent(client)
        [(ref, _)] = map(astuple, remote.submit("garden", two))
        assert ref.startswith("refs/intents/garden/")
        assert remote.waiting("garden") == {ref: two}
        assert remote.waiting("gard") == remote.waiting("other") == {}
        remote.fetch({ref: "refs/kept"})
    assert git(client, "rev-parse", "refs/kept") == two
    assert git(path, "for-each-ref", "refs/append") == ""


def test_a_refusal_of_the_sequencer_is_read_back(bare: Bare, client: Path) -> None:
    remote = to(client, bare())
    with pytest.raises(Refused) as refused:
        remote.submit("garden", decide(client, seq=5))
    assert (refused.value.code, refused.value.ref) == ("seq", "refs/append/garden")
    with pytest.raises(Refused, match="not-fast-forward"):
        remote.submit("garden", intent(client, decide(client)))


@pytest.mark.parametrize("before", ["nothing", "the same", "another"])
def test_a_server_that_does_not_sequence_is_left_clean(server: Path, client: Path, before: str) -> None:
    remote = to(client, server)
    one = intent(client)
    if before != "nothing":
        there = one if before == "the same" else intent(client)
        git(client, "push", "--quiet", str(server), f"{there}:refs/append/garden")
    with pytest.raises(NotSequencing):
        remote.submit("garden", one)
    assert git(server, "for-each-ref") == ""


@pytest.mark.parametrize(
    ("key", "value"), [("receive.procReceiveRefs", "refs/other"), ("receive.hideRefs", "refs/append")]
)
def test_a_server_that_takes_no_intents_does_not_sequence(bare: Bare, client: Path, key: str, value: str) -> None:
    path = bare()
    git(path, "config", "--unset-all", "receive.procReceiveRefs")
    git(path, "config", key, value)
    with pytest.raises(NotSequencing):
        to(client, path).submit("garden", intent(client))


@pytest.mark.parametrize("script", ["kill -9 $$\n", "exit 1\n", "kill -9 $PPID\n"])
def test_a_sequencer_that_dies_leaves_it_open_what_became_of_the_push(
    server: Path, client: Path, script: str
) -> None:
    git(server, "config", "receive.procReceiveRefs", "refs/append")
    hook(server, "proc-receive", script)
    with pytest.raises(RemoteUnreachable):
        to(client, server).submit("garden", intent(client))


def test_a_sequencer_that_cannot_judge_has_decided_that(bare: Bare, client: Path) -> None:
    path = bare()
    (path / "coordjournal" / "locks").mkdir(exist_ok=True)
    (path / "coordjournal" / "locks" / "garden").mkdir()
    with pytest.raises(GitFailed, match="cannot judge"):
        to(client, path).submit("garden", intent(client))


def test_an_inbox_of_nobody_cannot_be_read(client: Path, tmp_path: Path) -> None:
    remote = to(client, tmp_path / "nowhere.git")
    with pytest.raises(RemoteUnreachable):
        remote.waiting("garden")
    with pytest.raises(RemoteUnreachable):
        remote.submit("garden", intent(client))


# -- whose fault it is -------------------------------------------------------------------------------------------------

WORDS = [
    "fatal: loose object 1234 (stored in ./objects/12/34) is corrupt",
    "error: object file /srv/git/x.git/objects/12/34 is empty",
    "fatal: write error: No space left on device",
    "fatal: unable to write loose object file: No space left on device",
    "fatal: bad object refs/spaces/garden",
]


@pytest.mark.parametrize("words", WORDS)
def test_what_a_server_says_of_itself_is_no_fault_of_the_clone(server: Path, client: Path, words: str) -> None:
    """Over the sideband git puts ``remote:`` before each line; the standard error of ssh comes as it is."""
    remote = to(client, server)
    git(server, "update-ref", "refs/spaces/garden", decide(server))
    done = subprocess.CompletedProcess([], 128, "", f"remote: {words}\u2028{words}\nfatal: early EOF\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Remote, "_run", lambda *_, **__: done)
        with pytest.raises(RemoteUnreachable):
            remote.fetch_objects("garden")
        if "No space" not in words:
            done = subprocess.CompletedProcess([], 128, "", f"{words}\nfatal: early EOF\n")
            with pytest.raises(RemoteUnreachable):
                remote.fetch_objects("garden")


def pushed(server: Path, client: Path, script: str) -> Exception:
    """How a push fails that a hook there ends with ``script``, which is Python."""
    tip = decide(client)
    hook(server, "pre-receive", "").write_text(f"#!{sys.executable}\nimport sys\n{script}\nsys.exit(1)\n")
    with pytest.raises((GitFailed, Refused)) as failed:
        to(client, server).push("garden", None, tip)
    return failed.value


TOLD = "coordjournal refused this push; nothing was changed. Incident 12\\n\\n  refs/spaces/garden commit ab Seq "


def test_a_server_may_say_any_amount(server: Path, client: Path) -> None:
    error = pushed(server, client, "for _ in range(20000): sys.stderr.write('A' * 500 + '\\n')")
    assert isinstance(error, GitFailed) and len(str(error)) < 6000
    assert "failed to push some refs" in str(error)  # git's own last word


def test_a_refusal_of_any_length(server: Path, client: Path) -> None:
    script = f"sys.stderr.write('{TOLD}7\\n  ' + 'c' * 5000 + ' at ' + 'p' * 5000 + ': ' + 'w' * 5000 + '\\n')"
    error = pushed(server, client, f"{script}\nsys.stderr.write('  -> ' + 'r' * 5000 + '\\n')")
    assert isinstance(error, Refused) and error.seq == 7
    assert {len(text) for text in (error.code, error.place, error.what, error.remedy)} == {1003}


def test_a_seq_that_is_no_number(server: Path, client: Path) -> None:
    error = pushed(server, client, f"sys.stderr.write('{TOLD}' + '9' * 5000 + '\\n  schema at a: b\\n')")
    assert isinstance(error, GitFailed) and len(str(error)) < 6000


def test_names_of_refs_may_hold_other_ends_of_lines(server: Path, client: Path) -> None:
    one = decide(server)
    (server / "packed-refs").write_text(
        f"# pack-refs with: peeled fully-peeled sorted \n{one} refs/spaces/a\u2028{'f' * 40}\trefs/spaces/b\n"
        f"{one} refs/spaces/garden\n"
    )
    assert to(client, server).tips() == ({"garden": one}, None)
