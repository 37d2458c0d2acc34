"""The public acts: init, install, upgrade, uninstall.

Everything that can be refused is refused before the first change. The changes are ordered so that an interruption at
any point leaves a repository that works, and that a second run finishes: the package first, then the record of what
was before, then the hooks, which judge every push from the moment they have their name, then git's settings, and last
the descriptor, which tells clients. What is taken away goes the other way round.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .. import descriptor, stale
from ..errors import CoordjournalError, GitFailed
from ..refs import META
from ..store import GitStore
from ..text import lines
from . import files, gitcli, hooks, interpreter, settings
from . import prefix as prefixes
from . import record as records
from . import sequencing as sequencers
from .error import InstallError
from .inbox import arrivals
from .interpreter import Interpreter
from .record import Record
from .report import Report, Step, changed, kept, note
from .repository import Repository, check_host, check_refs, check_settings, check_writable, opened, quoted
from .sharing import Audience, obstacle


def init(
    path: str,
    *,
    prefix: str | None = None,
    python: str | None = None,
    object_format: str = "sha1",
    shared: str | None = None,
    strict: bool = True,
    sequencing: bool | None = None,
) -> Report:
    """Make a new bare repository at ``path`` and install into it.

    Args:
        prefix, python: as for :func:`install`.
        object_format: ``"sha1"`` or ``"sha256"``.
        shared: a ``core.sharedRepository``, such as ``"group"``; None for a repository of one account.
        strict: whether refs that are no journal's are refused.
        sequencing: as for :func:`install`.

    Raises:
        InstallError: there is something at ``path`` already, or as :func:`install`.
        GitFailed: git cannot make it.
    """
    absolute = os.path.abspath(os.path.expanduser(path))
    existed = os.path.isdir(absolute)
    if os.path.lexists(absolute) and (not existed or os.listdir(absolute)):
        raise InstallError(
            f"{path} exists already and is not an empty folder",
            f"If it is a bare repository, install into it: coordjournal install {quoted(path)}",
        )
    missing = _first_missing(absolute)
    try:
        done = gitcli.run(
            # No template: it may bring hooks and settings that nobody asked for here.
            *("-c", "init.defaultBranch=main", "init", "--quiet", "--bare", "--template="),
            *(f"--object-format={object_format}", *([f"--shared={shared}"] if shared else []), absolute),
        )
        if done.returncode:
            raise GitFailed(f"git cannot make a repository at {path}: {gitcli.said(done)}")
        report = install(absolute, prefix=prefix, python=python, strict=strict, sequencing=sequencing)
    except BaseException:
        if existed:
            for name in os.listdir(absolute):
                shutil.rmtree(os.path.join(absolute, name), ignore_errors=True)
                _unlink(os.path.join(absolute, name))
        elif missing:
            shutil.rmtree(missing, ignore_errors=True)
        raise
    return Report(
        report.git_dir,
        report.prefix,
        report.python,
        report.version,
        (changed(f"made the bare repository {report.git_dir}"), *report.steps),
    )


def install(
    repo: str,
    *,
    prefix: str | None = None,
    python: str | None = None,
    strict: bool | None = None,
    sequencing: bool | None = None,
) -> Report:
    """Install the hooks and the settings into the bare repository ``repo``. A second time changes nothing.

    Args:
        prefix: the folder for the package; by default the one it was installed with, else :func:`prefix.default`.
        python: the interpreter for the hooks; by default the best one that everybody who pushes can run.
        strict: sets ``coordjournal.strict``; None leaves it as it is.
        sequencing: whether intents that are pushed to ``refs/append/`` are sequenced. None: as it was chosen before,
            and if it never was, wherever it is possible.

    Raises:
        InstallError: it cannot be done safely, or cannot be sequenced though ``sequencing`` is true; nothing was
            changed, but for a package in the prefix perhaps.
        GitFailed: there is no git, or it failed.
    """
    with _held(repo) as repository:
        return _install(repository, records.load(repository), prefix, python, strict, sequencing)


def uninstall(repo: str) -> Report:
    """Take out the hooks, bring back those from before, and set git's settings back. Refs and objects stay, but for the
    descriptor, which tells clients that nothing is sequenced here any more.

    Raises:
        InstallError: nothing is installed, or it cannot be done without losing something.
        GitFailed: there is no git, or it failed.
    """
    with _held(repo) as repository:
        record = records.load(repository)
        where = hooks.folder(repository)
        if record is None:
            if not any(_is_ours(where, name) for name in hooks.NAMES):
                raise InstallError(f"coordjournal is not installed in {repository.git_dir}")
            record = Record("", "", "", values=(sequencers.leftover(),))
        hooks.check_removal(where)
        steps: list[Step] = []
        try:
            steps += _tell_no_sequencing(repository)
            steps += settings.restore_values(repository, record.values)
            for name in reversed(hooks.NAMES):  # the one that guards the logs goes last
                if name == hooks.SYNC and name not in record.hooks and not _is_ours(where, name):
                    continue  # it was never to be there
                steps += hooks.take_out(where, name, record.hooks.get(name))
            steps += settings.restore(repository, record.made)
            _unlink(os.path.join(repository.git_dir, settings.INCLUDED))
            _unlink(records.path(repository))
            steps += _drop_folder(repository)
        except OSError as error:
            raise _failed(error) from error
        if record.prefix:
            steps.append(note(f"the package stays in {record.prefix}: other repositories may use it"))
        return Report(repository.git_dir, record.prefix, record.python, record.version, tuple(steps))


def upgrade(repo: str | None = None, *, prefix: str | None = None, python: str | None = None) -> Report:
    """Put the running package into a prefix, for all repositories that use it, and drop versions long out of use.

    Args:
        repo: upgrade the prefix this repository uses, and its hooks and settings too.
        prefix: which prefix, where no ``repo`` is named; by default :func:`prefix.default`.
        python: another interpreter for the hooks of ``repo``.

    Raises:
        InstallError: nothing is installed there, a later version is, or as :func:`install`.
        GitFailed: there is no git, or it failed.
    """
    if repo is None:
        return _upgrade_prefix(prefixes.checked(prefix or prefixes.default()), python)
    with _held(repo) as repository:
        record = records.load(repository)
        if record is None:
            raise InstallError(
                f"coordjournal is not installed in {repository.git_dir}",
                f"Install it with: coordjournal install {quoted(repository.git_dir)}",
            )
        report = _install(repository, record, prefix, python, None, None)
        with prefixes.held(report.prefix):
            steps = [changed(f"removed the old version {name}") for name in prefixes.prune(report.prefix)]
        return Report(report.git_dir, report.prefix, report.python, report.version, (*report.steps, *steps))


@contextmanager
def _held(repo: str) -> Iterator[Repository]:
    """The repository ``repo``, held against another installer, as it is then."""
    repository = opened(repo)
    check_writable(repository)
    with files.locked(repository.git_dir):
        stale.remove([os.path.join(repository.git_dir, "config.lock")])  # of a git config that was killed
        yield opened(repository.git_dir)


def _install(
    repository: Repository,
    record: Record | None,
    prefix: str | None,
    python: str | None,
    strict: bool | None,
    sequencing: bool | None,
) -> Report:
    check_host(repository)
    where = hooks.folder(repository)
    hooks.check(where)
    wanted = sequencing if sequencing is not None else (record.sequencing if record else True)
    hindrance = sequencers.obstacle(where) if wanted else None
    if hindrance and sequencing:
        raise hindrance
    sequenced = wanted and not hindrance
    check_refs(repository)
    check_settings(repository)
    place = prefixes.checked(prefix or (record.prefix if record else prefixes.default()))
    _check_reach(place, repository.audience)
    chosen = _interpreter(repository.audience, python, record.python if record else None)
    rendered = {name: hooks.render(name, chosen.path, place) for name in hooks.wanted(sequenced)}
    package = prefixes.running_package()
    steps = _put_package(place, package, chosen)
    _check_reach(os.path.join(place, "current", "lib", "coordjournal", "receive.py"), repository.audience)

    own = [("coordjournal.prefix", place)]
    if strict is not None:
        own.append(("coordjournal.strict", "true" if strict else "false"))
    planned = settings.changes(repository, own)
    values = sequencers.changes(repository, sequenced)
    relative = settings.relative_hooks(repository)
    fresh = Record(
        package.version,
        place,
        chosen.path,
        {name: hooks.digest(content) for name, content in rendered.items()},
        records.merged(record.made if record else (), planned),
        records.merged_values(record.values if record else (), [*values, *relative]),
        wanted,
    )
    try:
        _make_folder(repository)
        if record != fresh:
            # The hooks that stand there are still those of the record before; should this be interrupted, the next
            # install finds them different from both and keeps a copy: one too many, never one too few.
            records.save(repository, fresh)
        if not sequenced:
            old = record.hooks.get(sequencers.HOOK) if record else None
            steps += _stop_sequencing(repository, where, values, old)
        files.make_folders(where, repository.sharing.folder())
        for name, content in rendered.items():
            old = record.hooks.get(name) if record else None
            steps += hooks.put(where, name, content, repository.sharing.file(0o755), old)
        if sequenced and _is_ours(where, hooks.SYNC):
            steps += hooks.take_out(where, hooks.SYNC, record.hooks.get(hooks.SYNC) if record else None)
        made = settings.apply(repository, planned) + settings.apply_values(repository, relative)
        if sequenced:
            made += settings.apply_values(repository, values)
    except OSError as error:
        raise _failed(error) from error
    steps += made or [kept("git's settings")]
    steps.append(_publish(repository))
    if hindrance:
        steps.append(note(f"{hindrance.what}; writers push stamped decisions to refs/spaces/. {hindrance.remedy}"))
    elif not wanted:
        steps.append(kept("no sequencing of intents, as was chosen; --sequencing turns it on"))
    steps += sequencers.remarks(repository, where)
    return Report(repository.git_dir, place, chosen.path, package.version, (*steps, *_remarks(repository, strict)))


def _is_ours(where: str, name: str) -> bool:
    return hooks.kind(hooks.place(where, name), name) == "ours"


def _stop_sequencing(
    repository: Repository, where: str, values: list[settings.Value], rendered: str | None
) -> list[Step]:
    """See to it that intents are not sequenced: clients are told first, then git, and the hook goes last.

    Raises:
        OSError, InstallError, GitFailed: as the steps do.
    """
    steps = _tell_no_sequencing(repository)
    steps += settings.apply_values(repository, values)
    if hooks.kind(os.path.join(where, sequencers.HOOK), sequencers.HOOK) == "ours":
        steps += hooks.take_out(where, sequencers.HOOK, rendered)
    left = sum(map(len, arrivals(repository.git_dir).values()))
    if left:
        told = f"intents in the inbox (refs/intents/): {left}; they stay there until sequencing is on again"
        steps.append(note(told))
    return steps


def _tell_no_sequencing(repository: Repository) -> list[Step]:
    store = GitStore(repository.git_dir)
    try:
        if descriptor.stop_sequencing(store):
            return [changed(f"told clients in {META} that intents are not sequenced here")]
    except GitFailed:
        raise
    except CoordjournalError:
        pass  # a descriptor that nobody can read promises nothing
    finally:
        store.close()
    return []


def _put_package(place: str, package: prefixes.Package, chosen: Interpreter) -> list[Step]:
    """Build ``package`` in the prefix ``place`` and make it the current one."""
    _check_is_prefix(place)
    with prefixes.held(place):
        standing = prefixes.current(place)
        if standing is not None:
            _check_successor(place, standing, package, chosen)
        built = prefixes.build(place, package, chosen)
        library = os.path.join(place, "versions", package.name, "lib")
        if not built:
            prefixes.try_out(chosen, library)
        switched = prefixes.switch(place, package.name)
    if built or switched:
        return [changed(f"put coordjournal {package.version} into {place}, to be run by {chosen.path}")]
    return [kept(f"coordjournal {package.version} in {place}, run by {chosen.path}")]


def _check_is_prefix(place: str) -> None:
    """Refuse a folder that holds other things, such as /usr/local itself."""
    try:
        names = os.listdir(place)
    except FileNotFoundError:
        return
    except OSError as error:
        told = f"the prefix {place} cannot be read: {error.strerror}"
        raise InstallError(told, "Choose another with --prefix.") from error
    if names and "versions" not in names:
        raise InstallError(
            f"the prefix {place} holds other things", f"Name a folder of its own: --prefix {quoted(place)}/coordjournal"
        )


def _check_successor(place: str, standing: prefixes.Installed, package: prefixes.Package, chosen: Interpreter) -> None:
    """Refuse to take from the other repositories of a prefix what their hooks run with.

    Raises:
        InstallError: a later version stands there, or one for another Python that is still in use.
    """
    if _release(standing.version) > _release(package.version):
        raise InstallError(
            f"{place} holds coordjournal {standing.version}, this is the older {package.version}",
            "Use that version or a later one, or another prefix: --prefix DIR",
        )
    if standing.tag != chosen.tag and os.access(standing.python, os.X_OK):
        raise InstallError(
            f"the hooks that use {place} run with {standing.python} ({standing.tag}); "
            f"a package for {chosen.path} ({chosen.tag}) would break them",
            f"Run coordjournal with {standing.python}, or install into another prefix: --prefix DIR",
        )


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in match[0].split(".")) if match else ()


def _upgrade_prefix(place: str, python: str | None) -> Report:
    standing = prefixes.current(place)
    if standing is None:
        raise InstallError(
            f"there is no coordjournal in {place}",
            "Name its prefix with --prefix, or a repository that uses it: coordjournal upgrade REPO",
        )
    chosen = _interpreter(Audience(os.geteuid()), python, standing.python)
    package = prefixes.running_package()
    steps = _put_package(place, package, chosen)
    with prefixes.held(place):
        steps += [changed(f"removed the old version {name}") for name in prefixes.prune(place)]
    if chosen.path != standing.python:
        steps.append(
            note(f"hooks that were installed to run with {standing.python} still do: install them again if it is gone")
        )
    return Report("", place, chosen.path, package.version, tuple(steps))


def _interpreter(to: Audience, wanted: str | None, before: str | None) -> Interpreter:
    """The one that is wanted, else the one from before if it will still do, else the best."""
    if wanted is None and before is not None:
        try:
            return interpreter.choose(to, before)
        except InstallError:
            pass  # it is gone or was upgraded; choose() below finds another or says why not
    return interpreter.choose(to, wanted)


def _check_reach(path: str, to: Audience) -> None:
    """Refuse a prefix that some who push cannot read; of a path that is not there yet, the part that is."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    fault = obstacle(path, to)
    if fault:
        raise InstallError(
            f"the hooks could not read the package: {fault}",
            "Name a place that every account that pushes can reach: --prefix /usr/local/lib/coordjournal "
            "(or /srv/coordjournal, ...), or open the folder to them.",
        )


def _make_folder(repository: Repository) -> None:
    """The repository's folder for the record and the refusal log; who pushes must be able to write the log."""
    folder = os.path.join(repository.git_dir, records.FOLDER)
    if not os.path.isdir(folder):
        files.make_folders(folder, repository.sharing.folder())


def _drop_folder(repository: Repository) -> list[Step]:
    folder = os.path.join(repository.git_dir, records.FOLDER)
    if not os.path.isdir(folder):
        return []
    for name in sequencers.FOLDERS:
        if os.path.isdir(os.path.join(folder, name)):
            shutil.rmtree(os.path.join(folder, name))
    if os.listdir(folder):
        return [note(f"what else is in {folder} (the refusal log) stays")]
    os.rmdir(folder)
    return []


def _remarks(repository: Repository, strict: bool | None) -> list[Step]:
    """What the administrator should know about this repository, though nothing needs to be done now."""
    remarks = []
    if gitcli.version() < gitcli.DURABLE_GIT:
        remarks.append(
            note("this git does not know core.fsync (2.36 does): a power failure may lose decisions just accepted")
        )
    if repository.audience.gid is not None:
        remarks.append(
            note(
                "every account but the owner that pushes needs git's permission, once for all accounts, as root: "
                f"git config --system --add safe.directory {quoted(repository.git_dir)}"
            )
        )
    if strict:
        others = gitcli.ask(repository.git_dir, "for-each-ref", "--format=%(refname)").decode("utf-8", "replace")
        names = [n for n in lines(others) if not n.startswith(("refs/spaces/", "refs/intents/", "refs/meta/"))]
        if names:
            remarks.append(
                note(
                    f"coordjournal.strict refuses pushes to refs that are no log; {len(names)} such refs are there: "
                    + ", ".join(names[:5])
                )
            )
    return remarks


def _publish(repository: Repository) -> Step:
    """Bring the descriptor that clients read (refs/meta/coordjournal) in line with the settings."""
    store = GitStore(repository.git_dir)
    try:
        if descriptor.publish(store):
            return changed(f"published the settings for clients in {META}")
    finally:
        store.close()
    return kept(f"the settings in {META}")


def _first_missing(path: str) -> str:
    """The topmost folder on the way to ``path`` that does not exist yet, or ``""``."""
    missing = ""
    while not os.path.lexists(path):
        missing, path = path, os.path.dirname(path)
    return missing


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _failed(error: OSError) -> InstallError:
    where = f" ({error.filename})" if error.filename else ""
    return InstallError(
        f"{error.strerror or error}{where}", "Nothing is lost: put it right and run the same command again."
    )
