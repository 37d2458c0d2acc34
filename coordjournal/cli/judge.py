"""Asking the law: ``verify`` about whole logs, ``check`` about a commit before it is pushed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from ..errors import CoordjournalError, Refused, UnknownSpace
from .base import SPACE, App, Command, json_option, pass_app
from .output import put_json, safe
from .progress import Progress

if TYPE_CHECKING:
    from ..commit import Commit
    from ..journal import Journal
    from ..store import GitStore
    from ..verify import Verdict


@click.command(
    cls=Command,
    examples=["coordjournal verify /srv/git/wiki.git", "coordjournal verify . garden --json"],
)
@click.argument("repository", metavar="REPO", type=click.Path())
@click.argument("space", metavar="[SPACE]", type=SPACE, required=False)
@json_option
@pass_app
@click.pass_context
def verify(ctx: click.Context, app: App, repository: str, space: str | None) -> None:
    """Check the logs of REPO against the law, offline.

    Every decision of every log, or of SPACE alone. REPO is a bare repository or a clone. A line is a space: how many
    decisions are lawful, or the first break, with its ref, commit, Seq and place. The exit status is 1 if there is
    any.
    """
    from .. import verify as verifier

    store = _git_store(app.journal(repository, extensions=False))
    with Progress("verifying") as progress:
        verdicts = list(
            verifier.repository(
                store,
                None if space is None else {space},
                lambda name, count: progress.at(count, f"verifying {name}"),
            )
        )
    if space is not None and not verdicts:
        raise UnknownSpace(f"the space {space!r} has no log here")
    broken = [verdict for verdict in verdicts if verdict.refusal is not None]
    if app.json:
        put_json({"lawful": not broken, "spaces": [_verdict_json(verdict) for verdict in verdicts]})
    else:
        for verdict in verdicts:
            _tell(app, verdict)
        if not verdicts:
            app.paper.line("there is no log here")
    if broken:
        ctx.exit(1)


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    refusal = verdict.refusal
    return {
        "ref": verdict.ref,
        "space": verdict.space,
        "tip": verdict.tip,
        "lawful": refusal is None,
        "decisions": verdict.decisions,
        "break": None if refusal is None else _refusal_json(refusal),
    }


def _refusal_json(refusal: Refused) -> dict[str, Any]:
    return {
        "code": refusal.code,
        "message": refusal.what,
        "place": refusal.place,
        "remedy": refusal.remedy,
        "ref": refusal.ref,
        "commit": refusal.commit,
        "seq": refusal.seq,
    }


def _tell(app: App, verdict: Verdict) -> None:
    paper = app.paper
    label = safe(verdict.ref if verdict.space is None else verdict.space)
    refusal = verdict.refusal
    if refusal is None:
        count = f"{verdict.decisions:,} decision{'' if verdict.decisions == 1 else 's'}"
        paper.line(f"{paper.green('lawful')}  {label}: {count}")
        return
    seq = "" if refusal.seq is None else f" Seq {refusal.seq}"
    place = f" at {safe(refusal.place)}" if refusal.place else ""
    paper.line(
        f"{paper.red('broken')}  {label}: {safe(refusal.ref)}{seq} commit {safe(refusal.commit)}: "
        f"{refusal.code}{place}: {safe(refusal.what)}"
    )


@click.command(
    cls=Command,
    examples=["coordjournal check HEAD", "coordjournal -C wiki check 1a2b3c4d --space garden --json"],
)
@click.argument("commit")
@click.option("--space", "space", type=SPACE, help="The space it is meant for; by default the one it names itself.")
@json_option
@pass_app
def check(app: App, commit: str, space: str | None) -> None:
    """Ask whether COMMIT could be pushed.

    By the same law and admission as the hook on the server: all commits between the tip of the log that is here and
    COMMIT are judged, by the limits, clock skew and schemas that the server has told this clone. Nothing is fetched:
    `coordjournal sync` first, if others may have appended.
    """
    from ..gitread import lacking

    journal = app.journal(extensions=False)
    store = _git_store(journal)
    oid = store.resolve(f"{commit}^{{commit}}", "commit")
    if oid is None:
        why = lacking(store.env)
        raise CoordjournalError(f"{commit!r} is no commit of this repository{why and '; '}{why}")
    verdict = _Check(journal, store, oid, space)
    if app.json:
        put_json(
            {
                "ok": True,
                "commit": oid,
                "space": verdict.space,
                "ref": verdict.ref,
                "seq": verdict.seq,
                "landed": verdict.landed,
                "judged": verdict.judged,
            }
        )
        return
    paper = app.paper
    place = f"{safe(verdict.space)}@{verdict.seq}"
    if verdict.landed:
        paper.line(f"{paper.green('ok')}  {place} is lawful, and in the log already")
        return
    others = f" with {verdict.judged - 1} before it" if verdict.judged > 1 else ""
    paper.line(f"{paper.green('ok')}  {place} can land{others}")
    where = journal.remote.name if journal.remote else "REMOTE"
    paper.line(paper.dim(f"    git push {safe(where)} {oid}:{verdict.ref}"))


class _Check:
    """What the hook would say to a commit.

    Attributes: ``space``, ``ref`` and ``seq``, where it would land; ``landed``, whether it is there already;
    ``judged``, how many commits were looked at.

    Raises:
        Refused: as the hook would.
    """

    def __init__(self, journal: Journal, store: GitStore, oid: str, space: str | None) -> None:
        from .. import chain
        from ..gitread import Objects
        from ..refs import space_ref

        self._journal = journal
        self._settings = journal.settings()
        self._oid = oid
        self._now = int(time.time())
        self.judged = 0
        self.seq: int | None = None
        with Objects(store.env) as objects:
            self._objects = objects
            self.space = space if space is not None else _space_of(oid, objects)
            self.ref = space_ref(self.space)
            self._tip = store.tip(self.space)
            self.landed = self._tip is not None and _contains(store, self._tip, oid)
            try:
                if self.landed:
                    chain.judge(self._step, _parent(oid, objects), oid, store.env, objects)
                else:
                    self._check_settings()
                    chain.judge(self._step, self._tip, oid, store.env, objects, self._settings.decision_bytes)
            except Refused as refusal:
                refusal.ref = self.ref
                refusal.commit = refusal.commit or oid
                raise

    def _check_settings(self) -> None:
        from .. import admission

        admission.check_writable(self._settings)

    def _step(self, parent: Commit | None, child: Commit, size: int) -> None:
        from .. import admission, law

        # Without a tip to begin at, what is before the commit is history, which no setting condemns.
        asked = not self.landed and (self._tip is not None or child.oid == self._oid)
        if child.files is None:
            child.files = self._objects.files(child.tree, self._settings.attachment_bytes if asked else None)
        if asked:
            admission.check_size(child, size, self._settings)
        doc = law.check(self.space, parent, child)
        if asked:
            admission.check(doc, parent, child, self._now, self._settings, self._journal.judge_extension)
        self.judged += 1
        if child.oid == self._oid:
            self.seq = child.seq


def _space_of(oid: str, objects: Any) -> str:
    """The space that the decision of a commit names. Raises Refused."""
    from .. import law
    from ..commit import parse

    found = objects.read(oid, "commit")
    assert found is not None  # it was just resolved
    try:
        return str(law.decision(parse(oid, found[1]).line)["space"])
    except Refused as refusal:
        refusal.commit = oid
        raise


def _parent(oid: str, objects: Any) -> str | None:
    from ..commit import parse

    found = objects.read(oid, "commit")
    assert found is not None
    return parse(oid, found[1]).parent


def _contains(store: GitStore, tip: str, oid: str) -> bool:
    """Whether ``oid`` is the tip of a log or behind it."""
    from ..gitread import Child

    child = Child(["merge-base", "--is-ancestor", oid, tip], store.env)
    if child.wait() > 1:
        raise child.failed()
    return child.wait() == 0


def _git_store(journal: Journal) -> GitStore:
    from ..store import GitStore

    assert isinstance(journal.store, GitStore)  # a repository was opened
    return journal.store
