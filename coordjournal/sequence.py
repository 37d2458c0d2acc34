"""The sequencer: gives pushed intents their places, one space at a time, in the order in which they arrive.

    lock the space -> read tip and inbox -> plan -> write the new commits -> move every ref in one transaction -> answer

What the plan may be:

    nobody holds the lease      the intents that wait in the inbox land first, then those that were pushed
    somebody holds it           what was pushed is filed in the inbox, refs/intents/<space>/<arrival>-<id>
    stamped commits             they land where they fit, and what they settle leaves the inbox

An intent that has landed before, the same line under the same id, is answered with that landing, so that whoever does
not know what became of a push can push again. Ordinary pushes to ``refs/spaces/`` go on beside it without the lock: the
transaction moves a ref only from where the plan has seen it, and otherwise the plan is made anew.

This module is on the hook's hot path: it imports nothing heavy.
"""

import posix
import time

from . import chain, intents, law, ondisk, packing, stale, trailer
from .commit import Commit, parse, subject
from .errors import GitFailed, Refused, UnlawfulLog
from .gitread import Child, Objects
from .guard import step
from .ids import Ids, refusal_key
from .kept import Kept
from .placing import Appender, place
from .refs import APPEND, INTENTS, SPACES, encode_space
from .turn import Turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .admission import JudgeExtension, Settings
    from .intents import Intent

NOBODY = "coordjournal"  # appends where the server does not know who pushes
_IDS = "coordjournal/ids"
_TRIES = 100
_WAIT = "15000"  # ms that git waits for the lock of a ref
_ARRIVAL_DIGITS = 16
_REASON_BYTES = 2000


class Moved:
    """A ref that a push moves: from ``old`` to ``new``, None where there is no such ref before or after."""

    __slots__ = ("new", "old", "ref")

    def __init__(self, ref: str, old: "str | None", new: "str | None") -> None:
        self.ref = ref
        self.old = old
        self.new = new


class Plan:
    """What becomes of a push to one space.

    ``reports`` is the answer: what really moved, as far as the pusher is concerned. ``moves`` is the transaction and
    ``objects`` what has to be written before it. ``landed`` are ids and commits for the index, which then stands for
    ``tip``; ``commits`` are those that have to be on the disk, each with its tree and the files in it; ``places`` says
    for people where each intent is.
    """

    __slots__ = ("commits", "landed", "moves", "objects", "places", "reports", "tip")

    def __init__(self, tip: "str | None") -> None:
        self.tip = tip
        self.commits: list[tuple[str, str, Sequence[object]]] = []
        self.reports: list[Moved] = []
        self.moves: list[Moved] = []
        self.objects: list[tuple[str, bytes]] = []
        self.landed: list[tuple[str, str]] = []
        self.places: list[str] = []


class Server:
    """A repository as the sequencer sees it. ``pusher`` commits what it stamps.

    ``unpacking`` and ``moving`` are gits that wait for the objects and the moves of a plan while it is made: a start
    takes 1 ms. Whoever is killed leaves nothing half done by them: both do nothing where their input just ends.
    """

    __slots__ = (
        "env",
        "git_dir",
        "judge_extension",
        "moving",
        "objects",
        "oid_length",
        "pusher",
        "settings",
        "unpacking",
    )

    def __init__(
        self,
        git_dir: str,
        env: "dict[str, str]",
        objects: Objects,
        settings: "Settings",
        judge_extension: "JudgeExtension",
        pusher: str,
        oid_length: int,
    ) -> None:
        self.git_dir = git_dir
        self.env = env
        self.objects = objects
        self.settings = settings
        self.judge_extension = judge_extension
        self.pusher = pusher
        self.oid_length = oid_length
        self.unpacking: packing.Unpacking | None = None
        self.moving: Child | None = None

    def close(self) -> None:
        """Ends the gits that were not needed."""
        if self.unpacking is not None:
            self.unpacking.stop()
        if self.moving is not None:
            self.moving.stop()
        self.unpacking = self.moving = None


class Declined(Exception):
    """The push as a whole is refused. ``refusals`` names each space that is at fault."""

    def __init__(self, refusals: "list[Refused]") -> None:
        super().__init__(refusals)
        self.refusals = refusals


def land(
    server: Server,
    pushed: "Mapping[str, str]",
    turns: "Mapping[str, Turn]",
    approve: "Callable[[Moved], None] | None" = None,
) -> "dict[str, Plan]":
    """Gives what was pushed its places: space to the commit that was pushed to it.

    Args:
        turns: at each of the spaces. They may have begun, if it is one space only; they have ended afterwards.
        approve: asked about each ref that gets a new value, of a log or of the inbox, before it does; raises Refused.
            The repository's own ``update`` hook.

    Raises:
        Declined: something of it can have no place; nothing was changed.
        GitFailed: the repository cannot be written to.
    """
    spaces = sorted(pushed, key=encode_space)  # always the same order, so that two pushes never wait for each other
    known: dict[str, Ids] = {}
    declined = False  # then what was made for spaces that have no log goes again
    kept = Kept()
    try:
        for space in spaces:
            turns[space].begin()
            known[space] = Ids(f"{server.git_dir}/{_IDS}/{encode_space(space)}", server.env, server.oid_length)
        for _ in range(_TRIES):
            plans = _planned(server, spaces, pushed, known, turns)
            begun, server.unpacking = server.unpacking, None
            packing.write(_once(plans), server.env, server.oid_length, begun, kept)
            moves = [move for plan in plans.values() for move in plan.moves]
            if approve is not None:
                for space, plan in plans.items():
                    _approve(approve, plan, space, pushed[space])
            if not moves or _transaction(moves, server):
                break
        else:
            raise GitFailed(f"others moved the log {_TRIES} times meanwhile; push again")
        _to_disk(server, plans)
        for space, plan in plans.items():
            if plan.tip is None:
                continue
            try:
                known[space].add(plan.landed, plan.tip)
            except Exception:
                continue  # all has landed, and the index catches up next time
        return plans
    except Declined:
        declined = True
        raise
    finally:
        kept.release()
        server.close()
        for space, ids in known.items():
            if declined and turns[space].is_new:
                ids.remove()
            ids.close()
        for turn in turns.values():
            turn.end(forget=declined)


def _planned(
    server: Server,
    spaces: "list[str]",
    pushed: "Mapping[str, str]",
    known: "dict[str, Ids]",
    turns: "Mapping[str, Turn]",
) -> "dict[str, Plan]":
    plans: dict[str, Plan] = {}
    refusals = []
    for space in spaces:
        try:
            plans[space] = _plan(server, space, pushed[space], known[space], turns[space])
        except Refused as refusal:
            refusals.append(_named(refusal, space, pushed[space]))
    if refusals:
        raise Declined(refusals)
    return plans


def _plan(server: Server, space: str, new: str, ids: Ids, turn: Turn) -> Plan:
    now = int(time.time())
    arrived, base = intents.read(space, new, server.objects, server.env, now, server.settings, server.judge_extension)
    oid, inbox = turn.refs()
    tip = _tip(server, oid)
    lease = trailer.read(tip.lease) if tip else None
    is_held = lease is not None and tip is not None and lease.in_force(max(now, tip.appended))
    _start(server, writes=bool(arrived) and not is_held)
    ids.bring_to(oid)
    if not arrived:
        return _stamped(server, space, new, tip, ids, inbox, now)
    if base is not None and (tip is None or base.oid != tip.oid) and not _holds(ids, base):
        raise Refused(
            "not-fast-forward",
            f"the intents are based on {base.oid}, which is not in this log",
            "header parent",
            "fetch, and base them on the tip of this space, or on nothing",
        )
    fresh, landed = _told_apart(server, arrived, ids, inbox)
    if is_held:
        assert lease is not None and tip is not None
        plan = _filed(server, space, tip, fresh, lease, inbox)
    else:
        plan = _sequenced(server, space, tip, fresh, ids, inbox, now)
    if landed:
        plan.places += [f"{space} {id} landed before as {oid}" for id, oid in landed.items()]
    if not plan.reports:
        first, *_, last = [*landed.values(), *landed.values()]
        plan.reports.append(Moved(SPACES + encode_space(space), _commit(server, first).parent, last))
    return plan


# -- the plans -----------------------------------------------------------------------------------------------------


def _sequenced(
    server: Server,
    space: str,
    tip: "Commit | None",
    fresh: "list[Intent]",
    ids: Ids,
    inbox: "dict[str, tuple[str, str]]",
    now: int,
) -> Plan:
    """Nobody holds the lease: what waits lands, then what was pushed."""
    more = (now, _namer(server.oid_length), server.settings, server.judge_extension)
    by, by_server = Appender(server.pusher, *more), Appender(NOBODY, *more)
    plan = Plan(tip.oid if tip else None)
    ref = SPACES + encode_space(space)
    parent = tip
    pushed = {intent.id for intent in fresh}
    for id, (name, oid) in inbox.items():
        if ids.find(id) is None and ids.find(refusal_key(id)) is None:
            try:
                parent = _land_waiting(server, space, id, oid, parent, by_server, plan, id not in pushed)
            except Refused:
                if id in pushed:
                    raise  # whoever pushes it again reads why
                continue  # it waits on
        plan.moves.append(Moved(name, oid, None))
    for at, intent in enumerate(fresh):
        if intent.id in inbox:
            continue  # it has just landed, in its turn
        if intent.doc["type"] == "lease-acquired" and at + 1 < len(fresh):
            raise _refused(intent, "lease", "what follows a lease is for its holder to stamp", "push it by itself")
        parent = _put(space, intent, parent, by, plan)
    if parent is not None and (tip is None or parent.oid != tip.oid):
        plan.moves.append(Moved(ref, plan.tip, parent.oid))
        if fresh:
            plan.reports.append(Moved(ref, plan.tip, parent.oid))
        plan.tip = parent.oid
    landed = dict(plan.landed)
    plan.places += [f"{space} {intent.id} landed as {landed[intent.id]}" for intent in fresh if intent.id in landed]
    return plan


def _filed(
    server: Server,
    space: str,
    tip: Commit,
    fresh: "list[Intent]",
    lease: "trailer.Lease",
    inbox: "dict[str, tuple[str, str]]",
) -> Plan:
    """Somebody holds the lease: what was pushed waits for the holder."""
    plan = Plan(tip.oid)
    folder = f"{INTENTS}{encode_space(space)}/"
    last = max((int(name[len(folder) :].partition("-")[0]) for name, _ in inbox.values()), default=0)
    arrival = max(time.time_ns() // 1000, last + 1)
    for intent in fresh:
        if intent.doc["type"] == "lease-acquired":
            raise _refused(
                intent,
                "lease-held",
                f"{lease.holder!r} holds the lease of this space: {lease}",
                "wait until it has ended; its holder renews it by a lease-acquired of its own stamp",
            )
        known = inbox.get(intent.id)
        if known is None:
            known = (f"{folder}{arrival:0{_ARRIVAL_DIGITS}}-{intent.id}", intent.commit.oid)
            plan.moves.append(Moved(known[0], None, known[1]))
            plan.commits.append((known[1], intent.commit.tree, intent.commit.files or ()))
            arrival += 1
        plan.reports.append(Moved(known[0], None, known[1]))
        plan.places.append(f"{space} {intent.id} waits for {lease.holder!r}, who holds the lease, as {known[0]}")
    return plan


def _stamped(
    server: Server,
    space: str,
    new: str,
    tip: "Commit | None",
    ids: Ids,
    inbox: "dict[str, tuple[str, str]]",
    now: int,
) -> Plan:
    """Somebody has stamped decisions, the holder of the lease perhaps: they land if they still fit."""
    plan = Plan(tip.oid if tip else None)
    ref = SPACES + encode_space(space)
    settled: set[str] = set()
    judge = step(space, now, server.settings, server.objects, server.judge_extension)

    def note(parent: "Commit | None", child: Commit, size: int) -> None:
        judge(parent, child, size)
        doc = law.decision(child.line)
        waits = inbox.get(doc["id"])
        if waits is not None and _commit(server, waits[1]).line != child.line:
            raise _conflict(intents.Intent(child, doc), waits[1])  # its author must not take this for the landing
        plan.landed.append((doc["id"], child.oid))
        plan.commits.append((child.oid, child.tree, child.files or ()))
        settled.add(doc["id"])
        if doc["type"] == "intent-refused":
            plan.landed.append((refusal_key(doc["payload"]["decision"]), child.oid))
            settled.add(doc["payload"]["decision"])

    old = tip.oid if tip else None
    if new != old:
        chain.judge(note, old, new, server.env, server.objects, server.settings.decision_bytes)
        plan.landed.reverse()  # they were judged newest first
        plan.moves.append(Moved(ref, old, new))
        plan.tip = new
    for id, (name, oid) in inbox.items():
        if id in settled or ids.find(id) is not None or ids.find(refusal_key(id)) is not None:
            plan.moves.append(Moved(name, oid, None))
    plan.reports.append(Moved(ref, old, new))
    return plan


# -- intents -------------------------------------------------------------------------------------------------------


def _told_apart(
    server: Server, arrived: "list[Intent]", ids: Ids, inbox: "dict[str, tuple[str, str]]"
) -> "tuple[list[Intent], dict[str, str]]":
    """The intents that have not landed yet, and where the others have: id to commit."""
    fresh: dict[str, Intent] = {}
    landed: dict[str, str] = {}
    for intent in arrived:
        first = ids.find(intent.id)
        refused = ids.find(refusal_key(intent.id))
        if first is not None:
            if _commit(server, first).line != intent.commit.line:
                raise _conflict(intent, first)
            landed[intent.id] = first
        elif refused is not None:
            why = law.decision(_commit(server, refused).line)["payload"]["reason"]
            raise _refused(intent, "intent-refused", f"it was let go: {why}", f"see {refused}; decide anew if need be")
        else:
            twin = fresh.setdefault(intent.id, intent)
            if twin.commit.line != intent.commit.line:
                raise _conflict(intent, twin.commit.oid)
            if intent.id in inbox and _commit(server, inbox[intent.id][1]).line != intent.commit.line:
                raise _conflict(intent, inbox[intent.id][1])
    return list(fresh.values()), landed


def _land_waiting(
    server: Server,
    space: str,
    id: str,
    oid: str,
    parent: "Commit | None",
    by: Appender,
    plan: Plan,
    let_go: bool,
) -> Commit:
    """Lands an intent of the inbox. One that can have no place any more is let go, on the record, if ``let_go``.

    Raises:
        Refused: it has no place, and was not let go: its time is still to come, or a limit is so low that not even the
            letting go fits in.
    """
    try:
        intent = intents.judged(
            space, _commit(server, oid), server.objects, by.now, server.settings, server.judge_extension
        )
        return _put(space, intent, parent, by, plan)
    except Refused as refusal:
        if not let_go or refusal.code == "clock":
            raise
        reason = str(refusal)
    return _put(space, _letting_go(id, reason, space, by, server.oid_length), parent, by, plan)


def _letting_go(id: str, reason: str, space: str, by: Appender, oid_length: int) -> "intents.Intent":
    """The server's own decision to let an intent go."""
    from .canonical import dumps
    from .commit import EMPTY_TREE
    from .text import printable
    from .timestamp import text

    raw = bytearray((time.time_ns() // 1_000_000).to_bytes(6) + posix.urandom(10))  # a UUIDv7
    raw[6], raw[8] = raw[6] & 0x0F | 0x70, raw[8] & 0x3F | 0x80
    own = raw.hex()
    doc: dict[str, Any] = {
        "actor": NOBODY,
        "at": text(by.now),
        "id": f"{own[:8]}-{own[8:12]}-{own[12:16]}-{own[16:20]}-{own[20:]}",
        "payload": {"decision": id, "reason": printable(reason).encode()[:_REASON_BYTES].decode(errors="ignore")},
        "space": space,
        "type": "intent-refused",
        "v": 1,
    }
    commit = Commit()
    commit.oid, commit.tree, commit.files = "", EMPTY_TREE[oid_length], ()
    commit.subject, commit.line = subject("intent-refused", doc["payload"]).encode(), dumps(doc)
    return intents.Intent(commit, doc)


def _put(space: str, intent: "Intent", parent: "Commit | None", by: Appender, plan: Plan) -> Commit:
    commit = intent.commit
    try:
        child, raw = place(
            space, parent, intent.doc, commit.subject.decode(), commit.line, commit.tree, commit.files or (), by
        )
    except Refused as refusal:
        refusal.commit = commit.oid
        raise
    plan.objects.append(("commit", raw))
    plan.commits.append((child.oid, commit.tree, commit.files or ()))
    plan.landed.append((intent.id, child.oid))
    if intent.doc["type"] == "intent-refused":
        plan.landed.append((refusal_key(intent.doc["payload"]["decision"]), child.oid))
    return child


def _holds(ids: Ids, base: Commit) -> bool:
    """Whether the log contains the commit ``base``."""
    try:
        return ids.holds(base.oid, law.decision(base.line)["id"])
    except Refused:
        return False


def _conflict(intent: "Intent", other: str) -> Refused:
    return _refused(
        intent,
        "id-conflict",
        f"another decision has the id {intent.id} already: {other}",
        "give a new decision an id of its own",
    )


def _refused(intent: "Intent", code: str, what: str, remedy: str) -> Refused:
    refusal = Refused(code, what, "id" if code in ("id-conflict", "intent-refused") else "type", remedy)
    refusal.commit = intent.commit.oid
    return refusal


# -- the repository ------------------------------------------------------------------------------------------------


def _tip(server: Server, oid: "str | None") -> "Commit | None":
    try:
        return None if oid is None else _commit(server, oid)
    except Refused as refusal:
        refusal.commit = oid or ""
        raise UnlawfulLog(refusal) from None


def _commit(server: Server, oid: str) -> Commit:
    found = server.objects.read(oid, "commit")
    if found is None:
        raise GitFailed(f"the commit {oid} is missing; `git fsck` may tell what is damaged")
    return parse(*found)


def _start(server: Server, writes: bool) -> None:
    """Starts the gits that the plan will need, so that they have started when it is made."""
    if writes and server.unpacking is None:
        server.unpacking = packing.Unpacking(server.env)
    if server.moving is None:
        env = {**server.env, "GIT_COMMITTER_NAME": server.pusher, "GIT_COMMITTER_EMAIL": "coordjournal"}
        patience = ["-c", f"core.filesRefLockTimeout={_WAIT}", "-c", f"core.packedRefsTimeout={_WAIT}"]
        move = ["update-ref", "-m", "coordjournal: append", "--create-reflog", "--stdin"]
        server.moving = Child([*patience, *move], env)


def _namer(oid_length: int) -> "Any":
    return lambda kind, content: packing.name(kind, content, oid_length)


def _once(plans: "Mapping[str, Plan]") -> "list[tuple[str, bytes]]":
    """The objects to write, with the empty tree: git knows it, but `git fsck --strict` misses it in a log."""
    objects = [item for plan in plans.values() for item in plan.objects]
    return [("tree", b""), *objects] if objects else []


def _approve(approve: "Callable[[Moved], None]", plan: Plan, space: str, new: str) -> None:
    for move in plan.moves:
        try:
            if move.new is not None:
                approve(move)
        except Refused as refusal:
            raise Declined([_named(refusal, space, new)]) from None


def _named(refusal: Refused, space: str, new: str) -> Refused:
    """The refusal with the ref and, unless it has one, the commit that was pushed."""
    refusal.ref = APPEND + encode_space(space)
    refusal.commit = refusal.commit or new
    return refusal


def _transaction(moves: "list[Moved]", server: Server) -> bool:
    """Moves all the refs or none; False if one of them was not where the plan has seen it.

    Raises:
        GitFailed: git cannot move them: a lock was left behind, the disk is full, a hook is against it.
    """
    _unlock(moves, server.git_dir)
    child, server.moving = server.moving, None
    assert child is not None
    nothing = "0" * server.oid_length
    # Until "commit" comes git drops it all at the end of its input, so that whoever kills us leaves nothing half done.
    lines = ["start"]
    lines += [f"update {move.ref} {move.new or nothing} {move.old or nothing}" for move in moves]
    lines += ["prepare", "commit"]
    try:
        child.send("".join(f"{line}\n" for line in lines).encode())
        sent = True
    except GitFailed:
        sent = False  # git has ended early, which its status tells too
    child.end_input()
    child.out.read()
    if child.wait() == 0 and sent:
        return True
    from .gitread import ref

    if any(ref(move.ref, server.env) != move.old for move in moves):
        return False
    raise GitFailed(
        "git cannot move the refs: a lock was left behind less than a minute ago, the disk is full, or the hook "
        "reference-transaction of this repository is against it"
    )


def _to_disk(server: Server, plans: "Mapping[str, Plan]") -> None:
    """Brings to the disk where everything stands that the answer tells of, whoever has put it there."""
    objects = []
    for plan in plans.values():
        for oid, tree, files in plan.commits:
            objects.append(oid)
            if files:  # attachments came with their tree; every other commit has the empty one
                objects.append(tree)
                found = server.objects.read(tree, "tree")
                objects += _named_in(found[1], server.oid_length) if found else []
    refs = {moved.ref: moved.old is None for plan in plans.values() for moved in (*plan.reports, *plan.moves)}
    try:
        ondisk.sync(server.git_dir, objects, refs)
    except OSError as error:
        raise GitFailed(f"it has landed, but the disk failed when it was to keep that: {error.strerror}") from None


def _named_in(tree: bytes, oid_length: int) -> "list[str]":
    """The objects that a tree names."""
    found = []
    while tree:
        at = tree.index(0) + 1
        found.append(tree[at : at + oid_length // 2].hex())
        tree = tree[at + oid_length // 2 :]
    return found


def _unlock(moves: "list[Moved]", git_dir: str) -> None:
    """Removes locks that some git has left behind; also all in the inbox, where no push comes upon one again, for each
    name there is a new one."""
    locks = [f"{git_dir}/{move.ref}.lock" for move in moves]
    for folder in {f"{git_dir}/{INTENTS}{move.ref.split('/')[2]}" for move in moves}:
        try:
            locks += [f"{folder}/{name}" for name in posix.listdir(folder) if name.endswith(".lock")]
        except OSError:
            continue  # there is none yet
    stale.remove([*locks, f"{git_dir}/packed-refs.lock", f"{git_dir}/packed-refs.new"])
