"""The proc-receive hook: takes what was pushed to ``refs/append/`` and answers where it really went.

git hands it the commands and prints what it answers (githooks(5), "proc-receive"); pre-receive has judged them already.
The work is :mod:`coordjournal.sequence`'s; here is the conversation with git, in pkt-lines (gitprotocol-common(5)).
"""

import posix
import sys

from .errors import Refused
from .gitread import Objects, ask_config, config, environment
from .guard import extensions, outer_environment, refuse, start, tell, undecided
from .refs import APPEND, decode_space
from .turn import Turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO, NoReturn

    from .sequence import Moved, Plan

_SHOWN = 10  # of the places of many intents


def main() -> "NoReturn":
    """Runs the hook and ends the process."""
    status = 0
    try:
        converse(sys.stdin.buffer, posix.getcwd(), sys.argv[0].rpartition("/")[0], outer_environment())
    except BaseException as error:  # a guard that cannot decide refuses, whatever happened
        status = 1
        undecided(error)
    posix._exit(status)


def converse(git: "BinaryIO", git_dir: str, hooks: str, outer: "Mapping[str, str]") -> None:
    """Talks with git: its commands in, the answers out on the standard output. ``hooks`` is the folder of the hooks."""
    version, _, offered = (_lines(git) or [b""])[0].partition(b"\0")
    if version.rstrip() != b"version=1":
        raise ValueError(f"git speaks {version!r}, expected version=1")
    options = b"push-options" in offered.split()
    _send([b"version=1\0atomic" + (b" push-options" if options else b"")])
    commands = [line.decode("utf-8", "surrogateescape").rstrip("\n").split(" ", 2) for line in _lines(git)]
    if options:
        _lines(git)  # none of them means anything here
    # receive.procReceiveRefs may name other refs too, for some other hook's sake: those are git's to move.
    ours = [(name, new) for _, new, name in commands if name.startswith("refs/append/")]
    report = [line.encode() for _, _, name in commands if not name.startswith("refs/append/") for line in _fall(name)]
    report += answers(ours, git_dir, hooks, outer) if ours else []
    try:
        _send(report)
    except BrokenPipeError:
        pass  # git is gone; what has landed stays, and whoever pushes it again hears so


def answers(
    commands: "list[tuple[str, str]]", git_dir: str, hooks: str, outer: "Mapping[str, str]"
) -> "list[bytes]":
    """Lands what was pushed, a ref and a commit each, and says what became of it in the lines that git expects."""
    env = environment(git_dir, outer)
    asked = ask_config(env)
    spaces = {decode_space(name.removeprefix(APPEND)): (name, new) for name, new in commands}
    turns = {space: Turn(git_dir, env, space) for space in spaces}
    objects = Objects(env)
    try:
        if len(commands) == 1:
            objects.ask_ahead(commands[0][1])
            for turn in turns.values():  # the only one: it cannot come in the way of the order of several
                turn.begin(wait=False)
        from . import admission, sequence  # while git looks up the configuration, the commit and the refs

        settings = admission.Settings.from_config(config(asked))
        pushed = {space: new for space, (_, new) in spaces.items()}
        server = sequence.Server(
            git_dir, env, objects, settings, extensions(env, objects), _pusher(outer), len(commands[0][1])
        )
        try:
            admission.check_writable(settings)
            plans = sequence.land(server, pushed, turns, _update_hook(f"{hooks}/update"))
        except Refused as refusal:
            return _refusals([refusal], commands, git_dir, outer)
        except sequence.Declined as declined:
            return _refusals(declined.refusals, commands, git_dir, outer)
    finally:
        for turn in turns.values():
            turn.end()
        objects.close()
    _tell_places(plans)
    zeros = "0" * server.oid_length
    return [line for space, plan in plans.items() for line in _told(spaces[space][0], plan.reports, zeros)]


def _fall(name: str) -> "list[str]":
    """The answer by which git deals with a ref as it would without this hook."""
    return [f"ok {name}", "option fall-through"]


def _told(name: str, reports: "list[Moved]", zeros: str) -> "list[bytes]":
    lines: list[str] = []
    for moved in reports:
        lines += [f"ok {name}", f"option refname {moved.ref}"]
        lines += [f"option old-oid {moved.old or zeros}", f"option new-oid {moved.new or zeros}"]
    return [line.encode() for line in lines]


def _refusals(
    refusals: "list[Refused]", commands: "list[tuple[str, str]]", git_dir: str, outer: "Mapping[str, str]"
) -> "list[bytes]":
    from .text import printable

    for refusal in refusals:
        refusal.ref = refusal.ref or commands[0][0]
        refusal.commit = refusal.commit or commands[0][1]
    refuse(refusals, git_dir, outer)
    why = {refusal.ref: refusal.code for refusal in refusals}
    other = ", ".join(sorted(printable(name) for name in why))
    return [f"ng {name} {why.get(name) or 'refused with ' + other}".encode() for name, _ in commands]


def _tell_places(plans: "Mapping[str, Plan]") -> None:
    from .text import printable

    places = [place for plan in plans.values() for place in plan.places]
    more = [f"... and {len(places) - _SHOWN} more"] if len(places) > _SHOWN else []
    tell("".join(f"{printable(place)}\n" for place in [*places[:_SHOWN], *more]))


def _pusher(outer: "Mapping[str, str]") -> str:
    """Who pushes, where the server knows that: gitolite and a web server that asks for a password do."""
    from .sequence import NOBODY
    from .text import is_ident

    for key in ("GL_USER", "REMOTE_USER"):
        if is_ident(outer.get(key)):
            return outer[key]
    return NOBODY


def _update_hook(path: str) -> "Callable[[Moved], None] | None":
    """The repository's own ``update`` hook, asked about the refs that really move, as git would have asked it."""
    if not posix.access(path, posix.X_OK):
        return None

    def approve(moved: "Moved") -> None:
        new = moved.new or ""
        nowhere = posix.open("/dev/null", posix.O_RDONLY)
        try:
            pid = start([path, moved.ref, moved.old or "0" * len(new), new], nowhere, stdout=2)
        finally:
            posix.close(nowhere)
        if posix.waitpid(pid, 0)[1]:
            what = f"the repository's update hook declined {moved.ref}"
            raise Refused("update-hook", what, "ref", "ask the administrator of the repository")

    return approve


def _lines(git: "BinaryIO") -> "list[bytes]":
    """The pkt-lines up to the next flush packet. Raises ValueError if git ends before."""
    lines: list[bytes] = []
    while True:
        head = git.read(4)
        if len(head) != 4:
            raise ValueError("git ended in the middle of its commands")
        length = int(head, 16)
        if length < 4:
            return lines
        lines.append(git.read(length - 4))


def _send(lines: "list[bytes]") -> None:
    data = b"".join(b"%04x%b" % (len(line) + 4, line) for line in lines) + b"0000"
    while data:
        data = data[posix.write(1, data) :]
