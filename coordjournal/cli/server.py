"""What an administrator does to a repository on the server: ``init``, ``install``, ``upgrade``, ``uninstall``,
``doctor``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from .base import App, Command, json_option, pass_app
from .output import put_json, safe

if TYPE_CHECKING:
    from ..install import Report

_prefix = click.option(
    "--prefix",
    metavar="DIR",
    type=click.Path(),
    help="Where the hooks' copy of the package goes; everybody who pushes must be able to read it.",
)
_python = click.option(
    "--python", metavar="FILE", type=click.Path(), help="The Python that runs the hooks; the best one by default."
)


def _placing(command: Callable[..., Any]) -> Callable[..., Any]:
    return _prefix(_python(json_option(command)))


@click.command(
    cls=Command,
    examples=["coordjournal init /srv/git/wiki.git", "coordjournal init /srv/git/wiki.git --shared group"],
)
@click.argument("repository", metavar="REPO", type=click.Path())
@click.option(
    "--object-format",
    type=click.Choice(["sha1", "sha256"]),
    default="sha1",
    show_default=True,
    help="The repository's object format.",
)
@click.option("--shared", metavar="WHO", help="Several accounts push: `group`, or as git's core.sharedRepository.")
@click.option("--no-strict", is_flag=True, help="Let refs in that are no log, such as branches.")
@click.option(
    "--no-sequencing", is_flag=True, help="Do not append what is pushed to refs/append; each writer stamps it then."
)
@_placing
@pass_app
def init(
    app: App,
    repository: str,
    object_format: str,
    shared: str | None,
    no_strict: bool,
    no_sequencing: bool,
    prefix: str | None,
    python: str | None,
) -> None:
    """Make a new bare repository REPO, its logs guarded by hooks."""
    from .. import install as installer

    report = installer.init(
        repository,
        prefix=prefix,
        python=python,
        object_format=object_format,
        shared=shared,
        strict=not no_strict,
        sequencing=False if no_sequencing else None,
    )
    _tell(app, report)


@click.command(cls=Command, examples=["coordjournal install /srv/git/wiki.git"])
@click.argument("repository", metavar="REPO", type=click.Path())
@click.option("--strict/--no-strict", default=None, help="Refuse refs that are no log, or not; else as it is set.")
@click.option(
    "--sequencing/--no-sequencing",
    default=None,
    help="Append what is pushed to refs/append in the order of arrival, or not; else as before, at first if it can be.",
)
@_placing
@pass_app
def install(
    app: App,
    repository: str,
    strict: bool | None,
    sequencing: bool | None,
    prefix: str | None,
    python: str | None,
) -> None:
    """Install hooks and settings into the bare repository REPO.

    Hooks that are there go on running. Running it again repairs what was changed and leaves the rest alone.
    """
    from .. import install as installer

    report = installer.install(repository, prefix=prefix, python=python, strict=strict, sequencing=sequencing)
    _tell(app, report)


@click.command(
    cls=Command,
    examples=["coordjournal upgrade", "coordjournal upgrade /srv/git/wiki.git"],
)
@click.argument("repository", metavar="[REPO]", type=click.Path(), required=False)
@_placing
@pass_app
def upgrade(app: App, repository: str | None, prefix: str | None, python: str | None) -> None:
    """Put this version of the package under the hooks.

    At once for all repositories that use the same prefix; with REPO its hooks and settings are brought up to date too.
    """
    from .. import install as installer

    _tell(app, installer.upgrade(repository, prefix=prefix, python=python))


@click.command(cls=Command, examples=["coordjournal uninstall /srv/git/wiki.git"])
@click.argument("repository", metavar="REPO", type=click.Path())
@json_option
@pass_app
def uninstall(app: App, repository: str) -> None:
    """Take the hooks out of REPO, and bring back those before.

    Git's settings become what they were. The logs stay as they are.
    """
    from .. import install as installer

    _tell(app, installer.uninstall(repository))


@click.command(cls=Command, examples=["coordjournal doctor /srv/git/wiki.git", "coordjournal doctor --json"])
@click.argument("repository", metavar="[REPO]", type=click.Path(), required=False)
@click.option("--no-probe", is_flag=True, help="Ask only; do not prove by pushes that a rewind is refused.")
@json_option
@pass_app
@click.pass_context
def doctor(ctx: click.Context, app: App, repository: str | None, no_probe: bool) -> None:
    """Tell whether the logs of REPO are guarded.

    And what is missing or was changed, and what helps. It changes nothing; the pushes by which it proves that the
    hook refuses a rewind leave no trace. The exit status is 1 if anything is wrong.
    """
    from .. import install as installer
    from .progress import Progress

    with Progress("examining"):
        findings = installer.doctor(repository or app.directory, probe=not no_probe)
    wrong = any(finding.level == "error" for finding in findings)
    if app.json:
        found = [
            {"check": item.check, "level": item.level, "what": item.what, "remedy": item.remedy} for item in findings
        ]
        put_json({"ok": not wrong, "findings": found})
    else:
        paper = app.paper
        paint = {"ok": paper.green, "warning": paper.yellow, "error": paper.red}
        for finding in findings:
            what, *more = finding.what.split("\n")
            paper.line(f"{paint[finding.level](f'{finding.level:7}')}  {safe(finding.check)}: {safe(what)}")
            for line in more:
                paper.line(f"{'':9}{safe(line)}")
            for line in finding.remedy.split("\n") if finding.remedy else ():
                paper.line(f"{'':9}-> {safe(line)}")
    if wrong:
        ctx.exit(1)


def _tell(app: App, report: Report) -> None:
    """What was done, step by step."""
    if app.json:
        put_json(
            {
                "git_dir": report.git_dir,
                "prefix": report.prefix,
                "python": report.python,
                "version": report.version,
                "changed": report.changed,
                "steps": [{"kind": step.kind, "text": step.text} for step in report.steps],
            }
        )
        return
    paper = app.paper
    mark = {"changed": paper.green("+"), "kept": paper.dim("="), "note": paper.yellow("!")}
    for step in report.steps:
        first, *more = step.text.split("\n")
        paper.line(f"{mark[step.kind]} {safe(first)}")
        for line in more:
            paper.line(f"  {safe(line)}")
    if not report.changed:
        paper.line("nothing was changed")
