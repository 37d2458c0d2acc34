"""Gives a server that was lost, or restored from an old backup, what a clone has and it has not.

    the server is    it gets
    -----------------------------------------------------------------------------------------------------------------
    the same, ahead  nothing
    behind, empty    the commits of this clone, bit for bit
    forked           the decisions that only this clone has, appended again: the same JSON line, at a new place

A fork is joined on the server first, while the log of this clone stays what it was; only when each decision that the
server had lost has landed there, or can never land, the log here becomes the server's, in one transaction with a ref
that keeps the old one. So whatever ends a rescue halfway, the next one finds both logs, and finds by their ids which
decisions have landed meanwhile; and until then every sync and append of this clone goes on to say JournalRewound.

The lost decisions keep their order. Behind one that cannot land now, but perhaps later, nothing is appended: what a log
means depends on what comes last. So at any time those that are at the server again are the first of them, whoever
rescues, but for what was given up by an explicit word. One that is not there while a later one is has lost its place,
by such a word or because the author of the later one sent that again: which of the two it was nobody can tell, so that
it takes an explicit word again.

What is fetched for the comparison, and the descriptor, are kept under refs of their own, as the logs of a journal
beside the clone's (:meth:`coordjournal.Journal.aside`), and appending goes its usual ways through that one.
"""

from __future__ import annotations

import random
import shlex
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import admission, descriptor, inbox, law, log
from .appending import FIRST_PAUSE, LONGEST_PAUSE
from .commit import File, parse
from .decision import Intent, Landed
from .errors import (
    Contention,
    CoordjournalError,
    GitFailed,
    IdConflict,
    JournalRewound,
    Queued,
    Refused,
    UnknownSpace,
    UnlawfulLog,
)
from .refs import META, SPACES, encode_space
from .remote import Remote
from .state import CoordinationState
from .store import GitStore
from .sync import alone, judge, meta_ref

if TYPE_CHECKING:
    from .journal import Journal
    from .space import Space

Outcome = Literal["same", "ahead", "pushed", "joined", "accepted", "unfinished"]
State = Literal["appended", "there", "waiting", "refused", "conflict", "let-go", "repeated", "left-out", "given-up"]

_UNSETTLED = ("waiting", "refused")  # states that may be over once something was put right
_LEFT_OUT = {
    "lease-acquired": "a lease is over when its log is",
    "lease-released": "a lease is over when its log is",
    "intent-refused": "only the holder of a lease lets an intent go",
}
_ANOTHER = "what it would revoke there is another decision"
_MAY_PASS = ("lease-held", "read-only", "clock")  # codes of refusals that time, or somebody else, may end
_FOR_ALL = ("lease-held", "read-only")  # ... that are met by whatever comes behind too
_FINAL = ("id-conflict", "intent-refused")  # codes of refusals that nothing ends, so that nothing waits behind them
_IN_THE_INBOX = "it waits in the server's inbox, and may land from there"
_PUSH = 20_000  # commits of one push: what got through stays, also if the connection breaks
_BATCH = 1000  # decisions that are appended as one push
_BATCH_BYTES = 32 * 1024 * 1024  # ... and their attachments, which are held in memory meanwhile
_STEP = 1000  # decisions between two words of progress

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a decision that the server had lost.

    Attributes:
        was: the decision, where it was in the log of this clone.
        state: ``appended``: it is in the server's log again, ``now``. ``there``: it had been appended again before, by
            another clone say. ``waiting``: it waits in the server's inbox for the holder of the lease, or cannot land
            just now, or one before it cannot, which ``reason`` names. ``refused``: by the law or the admission; or it
            would land behind a later one that is at the server already. ``conflict``: another decision has landed under
            its id, ``now``; or, of a revocation, under the id that it names. ``let-go``: an ``intent-refused`` names it
            in the server's log. ``repeated``: its id stood before it in this clone's log too, so that it was without
            effect. ``left-out``: a lease, and what goes with it, is over. ``given-up``: it is only in this clone, under
            :attr:`Rescue.kept`; ``reason`` says why it was refused.
        void: why it has no effect where it is now (a key of ``index.VOID_REASONS``), or None.
        reason: more about the state in words, or None.
    """

    was: Landed
    state: State
    now: Landed | None = None
    void: str | None = None
    reason: str | None = None

    def json(self) -> dict[str, Any]:
        """It as a JSON object."""
        return {
            "seq": self.was.seq,
            "commit": self.was.commit,
            "id": self.was.decision.id,
            "type": self.was.decision.type,
            "state": self.state,
            "now": None if self.now is None else {"seq": self.now.seq, "commit": self.now.commit},
            "void": self.void,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Rescue:
    """What a rescue found of a space, and did (or would do, if it was a ``dry_run``).

    Attributes:
        outcome: ``same``; ``ahead``: the server has more, a sync brings it. ``pushed``: the server was behind and has
            this clone's commits. ``joined``: the logs had forked, all is accounted for in ``fates``, and the log here
            is the server's. ``accepted``: so it is, and nothing was appended. ``unfinished``: see ``error`` and
            ``fates``; the log here is as it was, and rescuing again goes on.
        ours, theirs: the tips that were found, here and at the server (None: it had no log).
        common: the last Seq that both had; -1 if they had nothing in common.
        pushed: how many commits the server got as they were.
        fates: of each decision that only this clone had, in their order, if it did not get them so.
        kept: the ref under which the old log of this clone is kept, if it is no longer the log here.
        error: what was in the way of the whole space.
    """

    space: str
    outcome: Outcome
    ours: str
    theirs: str | None
    common: int = -1
    pushed: int = 0
    fates: Sequence[Fate] = ()
    kept: str | None = None
    error: CoordjournalError | None = field(default=None, compare=False)
    dry_run: bool = False

    def json(self) -> dict[str, Any]:
        """It as a JSON object, but for the error."""
        return {
            "space": self.space,
            "outcome": self.outcome,
            "ours": self.ours,
            "theirs": self.theirs,
            "common": self.common,
            "pushed": self.pushed,
            "fates": [fate.json() for fate in self.fates],
            "kept": self.kept,
        }


def prefix_aside(remote: str) -> str:
    """Where the refs are of a journal beside that of a clone."""
    return f"refs/coordjournal-rescue/{remote}/"


def rescue(
    journal: Journal,
    spaces: Collection[str],
    *,
    accept: bool,
    skip_refused: bool,
    late: bool,
    dry_run: bool,
    timeout: float,
    progress: Progress | None,
    tell: Callable[[Rescue], None] | None,
) -> list[Rescue]:
    """As :meth:`coordjournal.Journal.rescue`."""
    if accept and (skip_refused or late):
        raise ValueError("accept appends nothing, so that there is nothing to skip, and nothing that is late")
    store, remote = journal.store, journal.remote
    if remote is None or not isinstance(store, GitStore):
        raise CoordjournalError(
            "the logs themselves are here: run `coordjournal rescue` in a clone that has what was lost"
        )
    here = store.tips()
    for space in spaces:
        if space not in here:
            raise UnknownSpace(f"the space {space!r} has no log here")
    run = _Run(
        *(journal, store, remote, accept, skip_refused, late, dry_run, timeout),
        progress or (lambda label, count: None),
    )
    found = []
    with alone(store, "rescue.lock"):
        run.clear()  # what a rescue that was killed has left
        seen = remote.tips()
        _check_format(store, remote, [*seen[0].values(), *([seen[1]] if seen[1] else [])])
        for space in spaces:
            found.append(run.rescued(space, seen))
            if tell is not None:
                tell(found[-1])
    return found


def _check_format(store: GitStore, remote: Remote, there: Iterable[str]) -> None:
    """Raises if the objects that the remote names are of another format: no commit can be in both."""
    if any(len(oid) != len(store.empty_tree) for oid in there):
        raise CoordjournalError(
            f"the repository at {remote.name} is not of the object format {store.hash_name}, as this clone is: make it "
            f"anew there, with `coordjournal init REPO --object-format {store.hash_name}`"
        )


@dataclass(frozen=True, slots=True)
class _Run:
    """One rescue: what it was asked, and its steps."""

    journal: Journal
    store: GitStore
    remote: Remote
    accept: bool
    skip_refused: bool
    late: bool
    dry_run: bool
    timeout: float
    progress: Progress

    def rescued(self, space: str, seen: tuple[Mapping[str, str], str | None]) -> Rescue:
        """What becomes of a space; ``seen`` are the tips and the descriptor at the server, a moment ago. Whoever moves
        the log there meanwhile is waited for."""
        until = time.monotonic() + self.timeout
        pause = FIRST_PAUSE
        while True:
            done = self._attempt(space, seen[0].get(space), seen[1] is not None)
            if done is not None:
                return replace(done, dry_run=self.dry_run)
            if time.monotonic() > until:
                raise Contention(f"{space}: others were faster for {self.timeout:g} s; rescue it again")
            time.sleep(pause * random.random())
            pause = min(2 * pause, LONGEST_PAUSE)
            seen = self.remote.tips()

    def _attempt(self, space: str, theirs: str | None, described: bool) -> Rescue | None:
        """One try; None if the server's log moved meanwhile."""
        ours = self.store.tip(space)
        if ours is None:
            raise UnknownSpace(f"the space {space!r} has no log here any more")
        if ours == theirs:
            self.journal.space(space).look_again()  # another process may have rescued it
            return Rescue(space, "same", ours, theirs, self._seq(ours))
        # The inbox before the log: what leaves it meanwhile is in the log then, and nothing seems to be at neither.
        waiting = {item.id for item in inbox.read(self.store, self.remote, space)}
        with self._fetched(space, theirs is not None, described) as aside:
            theirs = dict(self.store.refs(aside.store.prefix)).get(aside.store.prefix + encode_space(space))
            shared = self._shared(ours, theirs)
            common = self._seq(shared)
            if ours != shared:
                self._check_whole(space)
            if theirs is not None and theirs != shared:
                try:
                    judge(self.store, space, theirs, shared, lambda count: self.progress(f"checking {space}", count))
                except UnlawfulLog as error:
                    return Rescue(space, "unfinished", ours, theirs, common, error=error)
            if ours == shared:
                self.journal.space(space).look_again()
                return Rescue(space, "ahead", ours, theirs, common)
            if not self.accept:
                self._check_server(aside)
                if theirs == shared:
                    return self._push(aside.space(space), ours, theirs, common)
            return self._join(aside, space, ours, theirs, common, waiting)

    # -- looking -------------------------------------------------------------------------------------------------

    @contextmanager
    def _fetched(self, space: str, logged: bool, described: bool) -> Iterator[Any]:
        """A journal beside this one with the log and the descriptor as the server has them, as long as it is needed."""
        aside: Any = self.journal.aside(space)  # its store is one of git
        try:
            refs = {}
            if logged:
                refs[SPACES + encode_space(space)] = aside.store.prefix + encode_space(space)
            if described:
                refs[META] = meta_ref(aside.store.prefix)
            if refs:
                self.progress(f"fetching {space}", 0)
                self.remote.fetch(refs)
            yield aside
        finally:
            aside.close()
            self.clear()

    def clear(self) -> None:
        """Forgets what was fetched for a comparison."""
        prefix = prefix_aside(self.remote.name)
        names = [name for where in (prefix, meta_ref(prefix)) for name, _ in self.store.refs(where)]
        self.store.update_refs([f"delete {name}" for name in names], "rescue")
        shutil.rmtree(Path(self.store.git_dir) / "coordjournal" / "rescue", ignore_errors=True)

    def _shared(self, ours: str, theirs: str | None) -> str | None:
        if theirs is None or self.store.object(theirs, "commit") is None:
            return None
        return self.store.merge_base(ours, theirs)

    def _seq(self, commit: str | None) -> int:
        """The Seq of a commit of this clone's log; -1 for None."""
        found = None if commit is None else self.store.object(commit, "commit")
        return -1 if found is None else log.seq_of(found[1])

    def _check_whole(self, space: str) -> None:
        """Raises if this is a shallow clone: it cannot push a log without its beginning, nor number what it has."""
        shallow = Path(self.store.git_dir, "shallow")
        if not shallow.exists() or not shallow.stat().st_size:
            return
        git = f"git -C {shlex.quote(str(self.store.git_dir).removesuffix('/.git'))}"
        fetch = f"{git} fetch --unshallow --refmap="  # moves no ref: the log there went backwards
        there, here = SPACES + encode_space(space), self.store.prefix + encode_space(space)
        raise GitFailed(
            "this is a shallow clone, which lacks the beginning of its logs; "
            f"`{fetch} {shlex.quote(self.remote.name)} {shlex.quote(there)}` brings it. Where that has lost it too, it "
            f"comes from a clone that is whole, with `{fetch} CLONE {shlex.quote(here)}`. Then rescue again"
        )

    def _check_server(self, aside: Journal) -> None:
        """Raises if the server is not ready to take anything, whatever it is."""
        assert isinstance(aside.store, GitStore)
        known = descriptor.read(self.store, meta_ref(self.store.prefix))
        if known is not None and descriptor.read(aside.store, meta_ref(aside.store.prefix)) is None:
            raise CoordjournalError(
                f"nothing guards the logs at {self.remote.name} any more: it had coordjournal's hooks, and has none. "
                "Run `coordjournal install REPO` on the server, then rescue again"
            )
        admission.check_writable(aside.settings())

    # -- behind --------------------------------------------------------------------------------------------------

    def _push(self, room: Space, ours: str, theirs: str | None, common: int) -> Rescue | None:
        """The server gets what it lacks of our commits, as they are; None if its log moved meanwhile."""
        last = self._seq(ours)
        if self.dry_run:
            error = self._would_refuse(room, ours, theirs, last - common)
            outcome: Outcome = "unfinished" if error else "pushed"
            return Rescue(room.id, outcome, ours, theirs, common, 0 if error else last - common, error=error)
        at, count = theirs, 0
        for seq, tip in self._stations(room.id, common, last, ours):
            try:
                if not self._advanced(room, at, tip):
                    return None
            except Refused as refusal:
                self._help(refusal)
                return Rescue(room.id, "unfinished", ours, theirs, common, count, error=refusal)
            at, count = tip, seq - common
            self.progress(f"pushing {room.id}", count)
        return Rescue(room.id, "pushed", ours, theirs, common, last - common)

    def _advanced(self, room: Space, at: str | None, tip: str) -> bool:
        """Moves the server's log on from ``at`` to ``tip``; False if somebody else has moved it."""
        until = time.monotonic() + self.timeout
        while not room.advance(at, tip):
            try:
                room.journal.refresh(room.id)
            except JournalRewound:
                return False
            if room.journal.store.tip(room.id) != at:
                return False
            if time.monotonic() > until:
                raise GitFailed(
                    f"for {self.timeout:g} s the remote has not let the log of {room.id} move, though nobody else "
                    "moved it; its administrator should run `coordjournal doctor`"
                )
            time.sleep(FIRST_PAUSE)
        return True

    def _would_refuse(self, room: Space, ours: str, theirs: str | None, count: int) -> Refused | None:
        """What the server would say of our last ``count`` commits, which are behind ``theirs``, as far as its
        descriptor tells: it may have forgotten a type, or have other limits by now."""
        aside = room.journal
        settings, now = aside.settings(), int(time.time())
        parent = room.commit(theirs)
        for oid, raw in self.store.commits(ours, oldest_first=True, count=count):
            child = parse(oid, raw)
            try:
                doc = law.decision(child.line)
                declared = law.attachments(doc).items()
                child.files = tuple(File("100644", name, "", it["bytes"], it["sha256"]) for name, it in declared)
                admission.check_size(child, len(raw), settings)
                admission.check(doc, parent, child, now, settings, aside.judge_extension)
            except Refused as refusal:
                refusal.ref, refusal.commit, refusal.seq = room.ref, oid, child.seq
                self._help(refusal)
                return refusal
            parent = child
        return None

    def _help(self, refusal: Refused) -> None:
        """Says in a refusal of our commits how to get a forgotten type back, if that is what it is about."""
        found = self.store.object(refusal.commit, "commit") if refusal.code == "undeclared-type" else None
        if found is not None:
            refusal.remedy = self._schema(log.record(*found)[3]["type"]) or refusal.remedy

    def _stations(self, space: str, common: int, last: int, ours: str) -> Iterator[tuple[int, str]]:
        """Where to stop on the way to our tip: Seq and commit."""
        if last - common > _PUSH:
            state = self.journal.space(space).newest()
            for seq in range(common + _PUSH, last, _PUSH):
                yield seq, state.landed(seq).commit
        yield last, ours

    # -- forked --------------------------------------------------------------------------------------------------

    def _join(
        self, aside: Any, space: str, ours: str, theirs: str | None, common: int, waiting: Collection[str]
    ) -> Rescue:
        """Appends what only this clone has, unless that is given up; then the server's log becomes the one here.
        ``waiting`` are the ids in the server's inbox."""
        last = self._seq(ours)
        lost = list(log.numbered(self.store.commits(ours, oldest_first=True, count=last - common), common + 1))
        room = aside.space(space)
        self.progress(f"reading {space}", 0)
        settled = _settled(room.state(), lost, common)
        todo = [was for was in lost if was.seq not in settled]
        if self.accept:
            settled |= {was.seq: _given_up(Fate(was, "given-up"), waiting) for was in todo}
        else:
            foreseen = self._foreseen(aside, todo, {} if self.late else _late(lost, settled, waiting))
            settled |= {fate.was.seq: fate for fate in self._appended(room, todo, foreseen, waiting)}
        fates = [settled[was.seq] for was in lost]
        if not self.accept and any(fate.state in _UNSETTLED for fate in fates):
            return Rescue(space, "unfinished", ours, theirs, common, fates=fates)
        kept = f"refs/coordjournal-rescued/{self.remote.name}/{encode_space(space)}/{last}-{ours[:12]}"
        if not self.dry_run:
            self._replace(space, ours, aside.store.tip(space), kept)
        outcome: Outcome = "accepted" if self.accept else "joined"
        return Rescue(space, outcome, ours, theirs, common, fates=fates, kept=kept)

    def _foreseen(self, aside: Journal, todo: Iterable[Landed], late: Mapping[int, Fate]) -> dict[int, Fate]:
        """What is refused before the server is asked: Seq to fate. That is what is ``late``, and each extension whose
        type the server has forgotten."""
        found = dict(late)
        for was in todo:
            decision = was.decision
            if decision.type.startswith("x-") and was.seq not in found:
                try:
                    aside.judge_extension(decision.type, decision.payload)
                except Refused as refusal:
                    if refusal.code == "undeclared-type":
                        refusal.remedy = self._schema(decision.type) or refusal.remedy
                    found[was.seq] = Fate(was, "refused", reason=str(refusal))
        return found

    def _schema(self, kind: str) -> str:
        """Where the schema of a type is still to be had that the server declares no longer; "" if nowhere."""
        ref = meta_ref(self.store.prefix)
        if kind not in descriptor.declared(self.store, ref):
            return ""
        return f"`git show {ref}:schemas/{kind}.json` prints here what `coordjournal schema declare` takes there"

    def _appended(
        self, room: Space, todo: Sequence[Landed], foreseen: Mapping[int, Fate], waiting: Collection[str]
    ) -> Iterator[Fate]:
        """Appends decisions again, in their order, up to the first that cannot land now but may later; what became of
        each."""
        count = 0
        taken: set[str] = set()  # ids under which somebody has just landed another decision
        in_the_way: Fate | None = None
        for batch in self._batches(todo, foreseen):
            rest = [was for was in batch if _target(was) not in taken]
            yield from (Fate(was, "conflict", reason=_ANOTHER) for was in batch if _target(was) in taken)
            while rest and in_the_way is None:
                for fate, stops in self._went(room, rest, foreseen):
                    rest = rest[1:]
                    if fate.state == "conflict":
                        taken.add(fate.was.decision.id)
                    if stops and fate.state == "refused" and self.skip_refused:
                        yield _given_up(replace(fate, state="given-up"), waiting)
                        continue
                    in_the_way = fate if stops else None
                    yield fate
            if in_the_way is not None:
                yield from (_behind(was, in_the_way, waiting) for was in rest)
            count += len(batch)
            self.progress(f"appending to {room.id}", count)

    def _went(
        self, room: Space, part: Sequence[Landed], foreseen: Mapping[int, Fate]
    ) -> Iterator[tuple[Fate, bool]]:
        """What became of the first decisions of a part, one of them at least, and whether that is in the way of what is
        behind them."""
        known = foreseen.get(part[0].seq)
        if known is not None:
            yield known, True
            return
        went = self._landed(room, [self._intent(was) for was in part])
        state = room.state()
        for was, it in zip(part, went, strict=False):  # those that are behind one in the way have not been tried
            if isinstance(it, CoordjournalError):
                yield _failed(was, it, state), _is_in_the_way(it)
            else:
                yield Fate(was, "appended", it, None if it is None else state.void_reason(it.seq)), False

    def _landed(self, room: Space, intents: Sequence[Intent]) -> list[Landed | CoordjournalError | None]:
        """Where intents landed, or the error of each that has not, up to the first that is in the way of the others.
        Nothing that is behind that one has been tried."""
        try:
            return self._tried(room, intents)
        except Queued as queued:
            return [queued] * len(intents)  # they wait in their order, and what comes behind waits behind them
        except (Refused, IdConflict) as error:
            if len(intents) == 1 or error.code in _FOR_ALL:
                return [error]
        half = len(intents) // 2
        first = self._landed(room, intents[:half])
        return first if _is_in_the_way(first[-1]) else first + self._landed(room, intents[half:])

    def _tried(self, room: Space, intents: Sequence[Intent]) -> list[Landed | CoordjournalError | None]:
        """Appends intents, all or none, or finds out what would be in their way, as far as that is known here."""
        if self.dry_run:
            room.rehearse(intents)
            return [None] * len(intents)
        return list(room.append_many(intents, allow_void=True, timeout=self.timeout))

    def _intent(self, was: Landed) -> Intent:
        files = {name: self.store.file(was.commit, name) for name in law.attachments(was.decision.json())}
        return Intent(was.decision, files)

    def _batches(self, todo: Iterable[Landed], foreseen: Collection[int]) -> Iterator[list[Landed]]:
        """The decisions by what is appended as one push; a revocation comes after the push of what it revokes, so that
        it is known what that is. One whose fate is ``foreseen`` is alone."""
        part: list[Landed] = []
        size = 0
        for was in todo:
            more = sum(declared["bytes"] for declared in law.attachments(was.decision.json()).values())
            target = _target(was)
            revokes = target != "" and any(each.decision.id == target for each in part)
            alone = was.seq in foreseen or (part != [] and part[-1].seq in foreseen)
            if part and (len(part) == _BATCH or size + more > _BATCH_BYTES or revokes or alone):
                yield part
                part, size = [], 0
            part.append(was)
            size += more
        if part:
            yield part

    def _replace(self, space: str, ours: str, tip: str | None, kept: str) -> None:
        """The log of the server becomes the one here, and the old one is kept: both or neither."""
        name = self.store.prefix + encode_space(space)
        self.store.update_refs(
            [f"update {kept} {ours}", f"update {name} {tip} {ours}" if tip else f"delete {name} {ours}"], "rescue"
        )
        self.journal.space(space).look_again()


def _settled(state: CoordinationState, lost: Iterable[Landed], common: int) -> dict[int, Fate]:
    """The fates that need no append: Seq to fate. ``state`` is that of the server's log."""
    found: dict[int, Fate] = {}
    before: dict[str, int] = {}
    taken: set[str] = set()  # ids that name another decision at the server
    for was in lost:
        decision = was.decision
        first = state.find_id(decision.id)
        again = first.seq if first is not None and first.seq <= common else before.get(decision.id)
        before.setdefault(decision.id, was.seq)
        let_go = state.refusal_of(decision.id)
        if decision.type in _LEFT_OUT:
            found[was.seq] = Fate(was, "left-out", reason=_LEFT_OUT[decision.type])
        elif again is not None:
            found[was.seq] = Fate(was, "repeated", reason=f"Seq {again} had its id, so that it had no effect")
        elif first is not None and first.decision.line() == decision.line():
            found[was.seq] = Fate(was, "there", first)
        elif first is not None:
            found[was.seq] = Fate(was, "conflict", first)
            taken.add(decision.id)
        elif (target := _target(was)) in taken:
            found[was.seq] = Fate(was, "conflict", state.find_id(target), reason=_ANOTHER)
        elif let_go is not None:
            found[was.seq] = Fate(was, "let-go", reason=let_go)
    return found


def _late(lost: Sequence[Landed], settled: Mapping[int, Fate], waiting: Collection[str]) -> dict[int, Fate]:
    """The fates of the decisions that are not at the server while a later one is, in its log or in its inbox: Seq to
    fate. They would come behind it; what waits in the inbox itself lands from there, whatever is said of it here."""
    found: dict[int, Fate] = {}
    later = ""
    for was in reversed(lost):
        fate = settled.get(was.seq)
        if fate is not None and fate.state == "there" and fate.now is not None:
            later = f"{_named(was)} is in the server's log already, as Seq {fate.now.seq}"
        elif fate is None and was.decision.id in waiting:
            later = f"{_named(was)} is in the server's inbox already"
        elif fate is None and later:
            reason = (
                f"{later}: this one, which was before it, would come behind it now. `coordjournal rescue --late` "
                "appends it all the same, `coordjournal rescue --skip-refused` gives it up"
            )
            found[was.seq] = Fate(was, "refused", reason=reason)
    return found


def _given_up(fate: Fate, waiting: Collection[str]) -> Fate:
    """The fate of a decision that is given up here; what an earlier rescue has filed may still land."""
    if fate.was.decision.id in waiting:
        return Fate(fate.was, "waiting", reason=_IN_THE_INBOX)
    return fate


def _behind(was: Landed, in_the_way: Fate, waiting: Collection[str]) -> Fate:
    """The fate of a decision that is not appended because one before it cannot land."""
    if was.decision.id in waiting:
        return Fate(was, "waiting", reason=_IN_THE_INBOX)
    why = f": {in_the_way.reason}" if in_the_way.reason else ""
    return Fate(was, "waiting", reason=f"behind {_named(in_the_way.was)}, which has not landed{why}")


def _named(was: Landed) -> str:
    return f"{was.decision.space}@{was.seq} ({was.decision.id})"


def _is_in_the_way(it: object) -> bool:
    """Whether what became of a decision keeps those behind it from landing: it may land later, and not from the inbox,
    where they would wait behind it."""
    return isinstance(it, CoordjournalError) and not isinstance(it, Queued) and it.code not in _FINAL


def _target(was: Landed) -> str:
    """The id that a revocation names; "" for any other decision."""
    return str(was.decision.payload["decision"]) if was.decision.type == "decision-revoked" else ""


def _failed(was: Landed, error: CoordjournalError, state: CoordinationState) -> Fate:
    """The fate of a decision that has not landed."""
    if error.code == "id-conflict":
        return Fate(was, "conflict", state.find_id(was.decision.id), reason=str(error))
    if error.code == "intent-refused":
        return Fate(was, "let-go", reason=state.refusal_of(was.decision.id) or str(error))
    waits = isinstance(error, Queued) or error.code in _MAY_PASS
    return Fate(was, "waiting" if waits else "refused", reason=str(error))
