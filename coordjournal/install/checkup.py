"""The doctor: is everything as an append-only repository needs it, and does the hook refuse what it must?

One small function a question; each yields findings. It changes nothing (:mod:`.probe` says how it proves without
leaving a trace), and a question that cannot be answered is a finding too.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from .. import descriptor
from ..errors import CoordjournalError
from ..opening import overwrites_logs
from ..refs import APPEND, INTENTS, META, SPACES
from ..store import GitStore
from . import gitcli, hooks, interpreter, sequencing, settings, sharing
from . import prefix as prefixes
from . import probe as probes
from . import record as records
from .error import InstallError
from .inbox import inboxes, unreadable
from .record import Record
from .repository import (
    Repository,
    check_settings,
    folded,
    foreign_refs,
    is_stray,
    opened,
    quoted,
    runs_nothing,
    stray_remedy,
)

Level = Literal["ok", "warning", "error"]

_MINUTE = 60  # git holds a lock for milliseconds
_HOUR = 3600
_LITTLE_ROOM = 200 * 1024 * 1024
_NO_ROOM = 20 * 1024 * 1024
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """What the doctor found: ``check`` is the question (stable), ``what`` the answer, ``remedy`` what helps or ``""``.

    An ``error`` means that pushes fail or the log is not guarded; a ``warning``, that something may go wrong.
    """

    check: str
    level: Level
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class _Patient:
    """What the questions are asked of. ``hooks`` is the hooks folder, None if git would look outside for it."""

    repository: Repository
    record: Record | None
    hooks: str | None


_Answers = Iterator[Finding]


def doctor(repo: str, *, probe: bool = True) -> list[Finding]:
    """Examine the bare repository ``repo``; with ``probe`` also by pushes that must be let in or refused.

    Raises:
        GitFailed: there is no git.
    """
    findings = list(_git())
    try:
        repository = opened(repo)
    except InstallError as error:
        return [*findings, Finding("repository", "error", error.what, error.remedy)]
    findings.append(Finding("repository", "ok", f"{repository.git_dir} is a bare repository"))
    record: Record | None = None
    where: str | None = None
    try:
        record = records.load(repository)
    except InstallError as error:
        findings.append(Finding("installed", "error", error.what, error.remedy))
    try:
        where = hooks.folder(repository)
    except InstallError as error:
        findings.append(Finding("hooks", "error", error.what, error.remedy))
    patient = _Patient(repository, record, where)
    for check, question in _QUESTIONS:
        findings += _asked(check, question, patient)
    if probe and where is not None:
        findings += _asked("probe", _scratch_probe, patient)
        findings += _asked("probe", _real_probe, patient)
    return findings


def _asked(check: str, question: Callable[[_Patient], _Answers], patient: _Patient) -> list[Finding]:
    """The answers to one question; that it cannot be answered is an answer too."""
    try:
        return list(question(patient))
    except InstallError as error:
        return [Finding(check, "error", error.what, error.remedy)]
    except (CoordjournalError, OSError, ValueError) as error:
        return [Finding(check, "error", f"cannot be examined: {error}")]


def _git() -> _Answers:
    version = gitcli.version()
    told = "git " + ".".join(map(str, version))
    if version < gitcli.OLDEST_GIT:
        yield Finding("git", "error", f"{told} is too old", "Install git 2.36 or later.")
    elif version < gitcli.DURABLE_GIT:
        yield Finding(
            "git",
            "warning",
            f"{told} does not know core.fsync: a power failure may lose decisions that were just accepted",
            "Install git 2.36 or later.",
        )
    else:
        yield Finding("git", "ok", told)


def _installed(patient: _Patient) -> _Answers:
    record = patient.record
    if record is None:
        yield Finding(
            "installed",
            "error",
            "coordjournal is not installed here (no coordjournal/installed.json)",
            f"coordjournal install {quoted(patient.repository.git_dir)}",
        )
    else:
        yield Finding("installed", "ok", f"installed by coordjournal {record.version}")


def _hook_files(patient: _Patient) -> _Answers:
    if patient.hooks is None:
        return
    again = f"coordjournal install {quoted(patient.repository.git_dir)}"
    if runs_nothing(patient.repository.git_dir):
        yield Finding("hooks", "error", "the file system is mounted noexec: git cannot run the hooks on it")
    for name in hooks.NAMES:
        path = hooks.place(patient.hooks, name)
        whose = hooks.kind(path, name)
        if whose != "ours":
            if name == sequencing.HOOK:
                continue  # whether it should be there is a question of its own
            what = "is missing" if whose == "absent" else "is not coordjournal's"
            if name != hooks.SYNC:
                yield Finding("hooks", "error", f"{path} {what}: nothing guards the logs", again)
            elif patient.record and name in patient.record.hooks:
                told = f"{path} {what}: a power failure may take back a push that was answered"
                yield Finding("hooks", "warning", told, again)
            continue
        with open(path, "rb") as file:
            content = file.read()
        remembered = patient.record.hooks.get(name) if patient.record else None
        if hooks.digest(content) != remembered:
            yield Finding("hooks", "warning", f"{path} was changed since it was installed", again)
        elif patient.record and content != hooks.render(name, patient.record.python, patient.record.prefix):
            yield Finding(
                "hooks",
                "warning",
                f"{path} is that of another version of coordjournal than this",
                f"coordjournal upgrade {quoted(patient.repository.git_dir)}",
            )
        fault = sharing.obstacle(path, patient.repository.audience, execute=True)
        if not os.access(path, os.X_OK):
            yield Finding("hooks", "error", f"{path} is not executable: git ignores it", f"chmod 755 {quoted(path)}")
        elif fault:
            yield Finding("hooks", "error", f"not everybody who pushes can run the hook: {fault}", again)
        else:
            yield Finding("hooks", "ok", f"{path} is in place")
        if os.path.lexists(path + hooks.BEFORE):
            state = "runs after ours" if os.access(path + hooks.BEFORE, os.X_OK) else "is not executable and never runs"
            yield Finding("hooks", "ok", f"the hook from before, {name}{hooks.BEFORE}, {state}")


def _interpreter(patient: _Patient) -> _Answers:
    if patient.hooks is None:
        return
    for name in hooks.NAMES:
        path = hooks.place(patient.hooks, name)
        if hooks.kind(path, name) != "ours":
            continue
        with open(path, "rb") as file:
            first = file.readline().decode("utf-8", "surrogateescape")
        match = re.fullmatch(r"#!(/\S+)( .*)?\n", first)
        if not match:
            yield Finding("interpreter", "error", f"{path} names no interpreter in its first line")
            continue
        python = match[1]
        again = f"coordjournal install {quoted(patient.repository.git_dir)}"
        if not os.path.exists(python):
            yield Finding("interpreter", "error", f"{python}, which runs {path}, is gone", again)
            continue
        fault = sharing.obstacle(python, patient.repository.audience, execute=True)
        if fault:
            yield Finding("interpreter", "error", f"not everybody who pushes can run {python}: {fault}", again)
        else:
            yield Finding("interpreter", "ok", f"{python} runs the hook {name}")


def _package(patient: _Patient) -> _Answers:
    place = patient.record.prefix if patient.record else patient.repository.value("coordjournal.prefix")
    if not place:
        return
    again = f"coordjournal install {quoted(patient.repository.git_dir)}"
    standing = prefixes.current(place)
    if standing is None:
        yield Finding("package", "error", f"there is no usable package in {place}: every push is refused", again)
        return
    faults = prefixes.faults(standing.path)
    if faults:
        shown = "; ".join(faults[:_SHOWN]) + (f" (and {len(faults) - _SHOWN} more)" if len(faults) > _SHOWN else "")
        yield Finding("package", "error", f"the package in {standing.path} is damaged: {shown}", again)
    fault = sharing.obstacle(os.path.join(place, "current", "lib", "coordjournal"), patient.repository.audience)
    if fault:
        yield Finding("package", "error", f"not everybody who pushes can read the package: {fault}", again)
    if patient.record and os.path.exists(patient.record.python):
        tag = interpreter.describe(patient.record.python).tag
        if tag != standing.tag:
            yield Finding(
                "package",
                "error",
                f"the package was built for {standing.tag}, but {patient.record.python} is {tag}: refusals cannot be "
                "explained",
                again,
            )
    yield from _strangers(place)
    if not faults and not fault:
        yield Finding("package", "ok", f"coordjournal {standing.version} in {place}")
    running = prefixes.running_package()
    if running.name != standing.name:
        yield Finding(
            "package",
            "warning",
            f"the hooks run coordjournal {standing.name}, this is {running.name}",
            f"coordjournal upgrade {quoted(patient.repository.git_dir)}",
        )


def _strangers(place: str) -> _Answers:
    """Whether accounts other than the owner could exchange the code that everybody's pushes run."""
    for path in (place, os.path.join(place, "versions"), os.path.dirname(place)):
        found = os.stat(path)
        sticky = bool(found.st_mode & stat.S_ISVTX) and path == os.path.dirname(place)
        if found.st_mode & 0o022 and not sticky:
            yield Finding(
                "package",
                "warning",
                f"others than {sharing.account(found.st_uid)} may write in {path} (mode "
                f"{stat.S_IMODE(found.st_mode):04o}), so they can exchange the code that pushes run",
                f"chmod go-w {quoted(path)}",
            )


def _settings(patient: _Patient) -> _Answers:
    again = f"coordjournal install {quoted(patient.repository.git_dir)}"
    lacking = settings.missing(patient.repository)
    for setting in lacking:
        value = patient.repository.value(setting.key)
        state = "is not set" if value is None else f"is {value!r}"
        yield Finding("settings", "warning", f"{setting.key} {state}; with {setting.value}, {setting.why}", again)
    own = check_settings(patient.repository)
    if not lacking:
        yield Finding("settings", "ok", "git's settings are those of an append-only repository")
    if patient.record and patient.repository.value("coordjournal.prefix") != patient.record.prefix:
        yield Finding("settings", "warning", "coordjournal.prefix is not where the hooks find their package", again)
    for key in ("receive.hideRefs", "transfer.hideRefs"):
        hidden = [v for v in patient.repository.config.get(folded(key), ()) if v.startswith("refs/spaces")]
        if hidden:
            yield Finding("settings", "ok", f"{key} hides {', '.join(hidden)}")
    if own.read_only:
        yield Finding("settings", "ok", "the repository takes no decisions (coordjournal.readOnly)")
    for key, values in patient.repository.config.items():
        if key.startswith("remote.") and key.endswith(".fetch") and any(map(overwrites_logs, values)):
            what = f"{key} is a mirror's: the next fetch overwrites the logs with those of another repository"
            section = quoted(key.removesuffix(".fetch"))
            remedy = f"git -C {quoted(patient.repository.git_dir)} config --remove-section {section}"
            yield Finding("settings", "warning", what, remedy)
    yield from _hidden(patient.repository)


def _hidden(repository: Repository) -> _Answers:
    """Whether git keeps from clients what they need to see or to push to."""
    find = f"Find out where: git -C {quoted(repository.git_dir)} config --show-origin --get-regexp hiderefs"
    on = sequencing.is_on(repository)
    seen = {SPACES: "fetch no log", META: "learn neither the limits nor what this server offers"}
    if on:
        seen[INTENTS] = "see no intent that waits, and the holder of a lease cannot land it"
    for name, what in seen.items():
        if settings.hidden(repository.git_dir, "uploadpack", name.rstrip("/")):
            yield Finding("settings", "warning", f"{name} is hidden from those who fetch: clients {what}", find)
    if on and settings.hidden(repository.git_dir, "receive", APPEND.rstrip("/")):
        yield Finding("settings", "error", f"{APPEND} is hidden from those who push: git refuses every intent", find)


def _sequencing(patient: _Patient) -> _Answers:
    """Do the hook, git's setting and what the administrator chose agree? (The descriptor is asked of elsewhere.)"""
    if patient.hooks is None:
        return
    repository = patient.repository
    again = f"coordjournal install {quoted(repository.git_dir)}"
    path = os.path.join(patient.hooks, sequencing.HOOK)
    whose = hooks.kind(path, sequencing.HOOK)
    on = sequencing.is_on(repository)
    if on and whose != "ours":
        what = "is missing" if whose == "absent" else "is not coordjournal's"
        told = f"git hands intents to {path} ({sequencing.KEY}), which {what}: none can be appended"
        yield Finding("sequencing", "error", told, again)
    elif on:
        yield Finding("sequencing", "ok", "intents pushed to refs/append/ are appended in the order of arrival")
    elif whose == "foreign":
        told = f"{path} is not coordjournal's: intents are not sequenced here"
        yield Finding("sequencing", "ok", told)
    elif whose == "ours":
        told = f"{path} is there, but {sequencing.KEY} lacks {sequencing.VALUE}: every intent is refused"
        yield Finding("sequencing", "warning", told, again)
    elif patient.record is None or not patient.record.sequencing:
        yield Finding("sequencing", "ok", "intents are not sequenced here (--sequencing turns it on)")
    else:
        told = "intents are not sequenced here, though nothing speaks against it"
        yield Finding("sequencing", "warning", told, again)
    logs = sequencing.routed_logs(repository)
    if logs:
        yield Finding(
            "sequencing",
            "error",
            sequencing.logs_told(logs),
            f"git -C {quoted(repository.git_dir)} config --show-origin --get-all {sequencing.KEY} tells where",
        )


def _inbox(patient: _Patient) -> _Answers:
    """Does something wait that nobody will land?"""
    now = time.time()
    found = inboxes(patient.repository.git_dir, now)
    for box in found:
        waits = now - box.arrivals[0] / 1_000_000
        told = f"{box.space}: {len(box.arrivals)} waiting, the first for {max(waits, 0) // _MINUTE:.0f} minutes"
        if box.holder:
            yield Finding("inbox", "ok", f"{told}; {box.holder} holds the lease")
        elif min(waits, now - box.until) < _MINUTE:
            yield Finding("inbox", "ok", f"{told}; the lease has just ended" if box.until else told)
        else:
            yield Finding(
                "inbox",
                "warning",
                f"{told}, and nobody holds the lease",
                "The next intent that is pushed takes them along, and so does whoever acquires the lease: "
                f"coordjournal lease acquire {quoted(box.space)}",
            )
    for ref, oid in unreadable(patient.repository.git_dir)[:_SHOWN]:
        yield Finding(
            "inbox",
            "error",
            f"{ref} names {oid}, which is missing or damaged: while it is there, git refuses every push",
            "The clone of its author sends it again, if it is gone here: "
            f"git -C {quoted(patient.repository.git_dir)} update-ref -d {ref}",
        )
    if not found:
        yield Finding("inbox", "ok", "no intent waits")


def _refs(patient: _Patient) -> _Answers:
    foreign = foreign_refs(patient.repository.git_dir)
    for ref, why in foreign[:_SHOWN]:
        stray = is_stray(ref)
        remedy = stray_remedy(patient.repository.git_dir, ref) if stray else "Move it to another name."
        yield Finding("refs", "error", f"{ref} is no journal's: {why}", remedy)
    if len(foreign) > _SHOWN:
        yield Finding("refs", "error", f"{len(foreign) - _SHOWN} more refs are no journal's")
    store = GitStore(patient.repository.git_dir)
    try:
        broken = store.unlisted()
    finally:
        store.close()
    for ref in broken[:_SHOWN]:
        told = f"git cannot read the file of {ref}, so that its log seems not to be there"
        yield Finding("refs", "error", told, 'docs/operations.md, "A damaged repository", tells how to get it back')
    if not foreign and not broken:
        yield Finding("refs", "ok", "all refs under the journal's names can be a journal's")


def _modes(patient: _Patient) -> _Answers:
    repository = patient.repository
    if not repository.sharing.group:
        found = os.stat(repository.git_dir)
        others = [m for m in sharing.members(found.st_gid) if m != sharing.account(found.st_uid)]
        if found.st_mode & stat.S_IWGRP and others:
            yield Finding(
                "sharing",
                "warning",
                f"{repository.git_dir} is writable by the group {sharing.group(found.st_gid)}, but "
                "core.sharedRepository is not set: what one account pushes, the next cannot add to",
                f"git -C {quoted(repository.git_dir)} config core.sharedRepository group, and open what is there: "
                + _open_to_group(repository),
            )
        else:
            yield Finding("sharing", "ok", f"the repository of {sharing.account(found.st_uid)} alone")
        return
    wrong = list(_wrong_modes(repository))
    for path, what in wrong[:_SHOWN]:
        yield Finding("sharing", "error", f"{path} {what}, though core.sharedRepository shares it with the group")
    if wrong:
        yield Finding("sharing", "error", f"{len(wrong)} modes or groups are wrong", _open_to_group(repository))
    else:
        gid = repository.audience.gid
        yield Finding("sharing", "ok", f"shared with the group {sharing.group(gid) if gid is not None else '?'}")


def _wrong_modes(repository: Repository) -> Iterator[tuple[str, str]]:
    """Folders the group could not write in, or whose new files would get another group; files it could not read."""
    git_dir = repository.git_dir
    ours = os.path.join(git_dir, records.FOLDER)
    locks, ids = (os.path.join(ours, name) for name in sequencing.FOLDERS)
    folders = [git_dir, ours, locks, ids, *_folders(os.path.join(git_dir, "refs"))]
    folders += [*_folders(os.path.join(git_dir, "logs")), *_folders(os.path.join(git_dir, "objects"))]
    for path in folders:
        if not os.path.isdir(path):
            continue
        found = os.stat(path)
        if found.st_gid != repository.audience.gid:
            yield path, f"belongs to the group {sharing.group(found.st_gid)}"
        elif found.st_mode & 0o070 != 0o070:
            yield path, f"is not writable by its group (mode {stat.S_IMODE(found.st_mode):04o})"
        elif not found.st_mode & stat.S_ISGID:
            yield path, "does not hand its group on to what is made in it (no setgid bit)"
    names = ("HEAD", "config", "packed-refs", "objects/pack/*")
    read = [path for name in names for path in glob.glob(os.path.join(glob.escape(git_dir), name))]
    for path in (*read, *_files(locks)):  # who can read a lock can hold it
        closed = _closed(path, repository.audience.gid, stat.S_IRGRP)
        if closed:
            yield path, f"is not readable by the group ({closed})"
    for path in (*_files(os.path.join(git_dir, "logs")), *_files(ids)):
        closed = _closed(path, repository.audience.gid, stat.S_IWGRP)
        if closed:
            yield path, f"is not writable by the group ({closed})"


def _closed(path: str, gid: int | None, bit: int) -> str:
    """What keeps the group ``gid`` from a file, or ``""``; ``bit`` is what it needs of the mode."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return ""  # of a push that has just ended
    if found.st_gid != gid:
        return f"group {sharing.group(found.st_gid)}"
    return "" if found.st_mode & bit else f"mode {stat.S_IMODE(found.st_mode):04o}"


def _files(top: str) -> Iterator[str]:
    return (os.path.join(where, name) for where, _, names in os.walk(top) for name in names)


def _folders(top: str) -> Iterator[str]:
    for where, _, _ in os.walk(top):
        if os.path.basename(where).startswith(("tmp_objdir-", "incoming-")):
            continue  # a push that is under way
        yield where


def _open_to_group(repository: Repository) -> str:
    path = quoted(repository.git_dir)
    group = sharing.group(os.stat(repository.git_dir).st_gid)
    return (
        f"chgrp -R {group} {path} && find {path} -type d -exec chmod g+rwxs {{}} + && "
        f"find {path} -type f -exec chmod g+r {{}} + && "
        f"for d in {path}/logs {path}/{records.FOLDER}/{sequencing.IDS}; do "
        'if [ -d "$d" ]; then find "$d" -type f -exec chmod g+w {} +; fi; done'
    )


def _trust(patient: _Patient) -> _Answers:
    """git's safe.directory rule: which accounts may not push yet."""
    repository = patient.repository
    if repository.audience.gid is None:
        return
    owner = sharing.account(repository.audience.uid)
    others = [name for name in sharing.members(repository.audience.gid) if name != owner]
    git_dir = repository.git_dir
    if _trusts(git_dir, "--system"):
        yield Finding("safe.directory", "ok", "git trusts the repository for every account of this machine")
        return
    without = [name for name in others if not _account_trusts(git_dir, name)]
    if without:
        yield Finding(
            "safe.directory",
            "warning",
            f"git may refuse pushes of {', '.join(without)}: the repository belongs to {owner}, and none of their git "
            "configurations that can be read from here trusts it",
            f"As root, for all accounts: git config --system --add safe.directory {quoted(git_dir)}\n"
            f"or each of them: git config --global --add safe.directory {quoted(git_dir)}",
        )
    else:
        yield Finding("safe.directory", "ok", f"git trusts the repository for {', '.join([owner, *others])}")


def _account_trusts(git_dir: str, name: str) -> bool:
    home = os.path.expanduser(f"~{name}")
    files = (os.path.join(home, ".gitconfig"), os.path.join(home, ".config", "git", "config"))
    return any(os.access(path, os.R_OK) and _trusts(git_dir, f"--file={path}") for path in files)


def _trusts(git_dir: str, scope: str) -> bool:
    asked = gitcli.run("config", scope, "--includes", "-z", "--get-all", "safe.directory")
    trusted = False
    for value in asked.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        if value == "":
            trusted = False  # git-config(1): an empty value forgets those before it
        elif value in ("*", git_dir) or (value.endswith("/*") and git_dir.startswith(value[:-1])):
            trusted = True
    return trusted


def _leftovers(patient: _Patient) -> _Answers:
    git_dir = patient.repository.git_dir
    old: list[str] = []
    for where, _, names in os.walk(os.path.join(git_dir, "refs")):
        old += [os.path.join(where, name) for name in names if name.endswith(".lock")]
    patterns = ("*.lock", "objects/tmp_objdir-*", "objects/incoming-*", "objects/pack/tmp_*", "coordjournal/probe-*")
    for pattern in patterns:
        old += glob.glob(os.path.join(glob.escape(git_dir), pattern))
    now = time.time()
    # The other way round the clock was set back since: nobody can tell how old it is.
    stale = sorted(path for path in old if abs(_age(path, now)) > (_MINUTE if path.endswith(".lock") else _HOUR))
    for path in stale[:_SHOWN]:
        blocks = "blocks every later change" if path.endswith(".lock") else "takes room"
        age = _age(path, now)
        when = f"{age / _MINUTE:.0f} minutes ago" if age > 0 else "at a time that is yet to come"
        yield Finding(
            "leftovers",
            "warning",
            f"{path} was left behind {when} by something interrupted; it {blocks}",
            f"If no git runs there any more: rm -r {quoted(path)}",
        )
    if len(stale) > _SHOWN:
        yield Finding("leftovers", "warning", f"{len(stale) - _SHOWN} more of them")
    if not stale:
        yield Finding("leftovers", "ok", "nothing was left behind by an interrupted git")


def _age(path: str, now: float) -> float:
    try:
        return now - os.lstat(path).st_mtime
    except FileNotFoundError:
        return 0.0  # a push that has just ended


def _objects(patient: _Patient) -> _Answers:
    git_dir = patient.repository.git_dir
    found = False
    remedies = {
        "objects/info/alternates": (
            "borrows objects from another repository: what is pruned there is lost here",
            f"git -C {quoted(git_dir)} repack -a -d && rm {quoted(git_dir)}/objects/info/alternates",
        ),
        "info/grafts": ("makes git show another history than was pushed", f"rm {quoted(git_dir)}/info/grafts"),
        "shallow": (
            "cuts the history off, so that logs have no beginning",
            f"git -C {quoted(git_dir)} fetch --unshallow REMOTE",
        ),
    }
    for name, (what, remedy) in remedies.items():
        path = os.path.join(git_dir, name)
        if os.path.exists(path) and os.path.getsize(path):
            found = True
            yield Finding("objects", "warning", f"{path} {what}", remedy)
    replaced = gitcli.ask(git_dir, "for-each-ref", "--count=1", "--format=%(refname)", "refs/replace/").decode()
    if replaced:
        found = True
        yield Finding(
            "objects",
            "warning",
            f"{replaced.strip()} makes git show another object than was pushed (coordjournal itself ignores it)",
            f"git -C {quoted(git_dir)} replace -d OBJECT",
        )
    if not found:
        yield Finding("objects", "ok", "no alternates, grafts, replaced objects or cut history")


def _described(patient: _Patient) -> _Answers:
    git_dir = patient.repository.git_dir
    store = GitStore(git_dir)
    try:
        same = descriptor.read(store) == descriptor.describe(store.settings())
        descriptor.declared(store)
    except descriptor.Lost as lost:
        told = f"{META} needs the object {lost.oid}, which is missing or damaged: it may declare extension types"
        yield Finding("descriptor", "error", told, _bring_back(git_dir, descriptor.loose_file(store, lost.oid)))
        return
    finally:
        store.close()
    if same:
        yield Finding("descriptor", "ok", f"{META} tells clients the settings")
    else:
        yield Finding(
            "descriptor",
            "warning",
            f"{META} does not tell clients the settings as they are now",
            f"coordjournal install {quoted(patient.repository.git_dir)}",
        )


def _bring_back(git_dir: str, damaged: str) -> str:
    """The command that gets the objects of the descriptor from a clone: git does not write over a file it has."""
    aside = f"mv {quoted(damaged)} /var/tmp/ && " if damaged else ""
    packed = (
        'Is it damaged in a pack, take that apart first (docs/operations.md, "A damaged repository"). '
        if not damaged and glob.glob(os.path.join(glob.escape(git_dir), "objects/pack/*.pack"))
        else ""
    )
    return packed + (
        f"Bring it from a clone that has synced (the newest, for it needs the newest descriptor): {aside}"
        "git -C CLONE rev-list --objects refs/coordjournal-meta/origin | cut -d' ' -f1 | "
        f"git -C CLONE pack-objects -q --stdout | git -C {quoted(git_dir)} unpack-objects -q"
    )


def _room(patient: _Patient) -> _Answers:
    usage = shutil.disk_usage(patient.repository.git_dir)
    inodes = os.statvfs(patient.repository.git_dir)
    told = f"{usage.free / 2**20:,.0f} MiB are free"
    few = inodes.f_files > 0 and inodes.f_favail < 10_000
    if usage.free < _NO_ROOM:
        yield Finding("disk", "error", f"only {told}: pushes will fail", "Make room.")
    elif usage.free < _LITTLE_ROOM or few:
        told = f"{inodes.f_favail} inodes are free" if few else told
        yield Finding("disk", "warning", f"only {told}", "Make room.")
    else:
        yield Finding("disk", "ok", told)


def _scratch_probe(patient: _Patient) -> _Answers:
    assert patient.hooks is not None
    yield from _told(probes.scratch(patient.repository, patient.hooks), "in a scratch repository with the same hooks")


def _real_probe(patient: _Patient) -> _Answers:
    yield from _told(probes.real(patient.repository), "in this repository")


def _told(attempts: list[probes.Attempt], where: str) -> _Answers:
    for attempt in attempts:
        if attempt.good:
            yield Finding("probe", "ok", f"{where} {attempt.what}")
        elif attempt.good is None:
            yield Finding(
                "probe",
                "warning",
                f"{where} it could not be tried whether {attempt.what}; git said: {attempt.said}",
                "Run the doctor as an account that may push.",
            )
        else:
            yield Finding(
                "probe",
                "error",
                f"{where} it is not so that {attempt.what}; git said: {attempt.said}",
                f"Look at the other findings; until this is right, {attempt.meaning}.",
            )


_QUESTIONS: tuple[tuple[str, Callable[[_Patient], _Answers]], ...] = (
    ("installed", _installed),
    ("hooks", _hook_files),
    ("interpreter", _interpreter),
    ("package", _package),
    ("settings", _settings),
    ("sequencing", _sequencing),
    ("refs", _refs),
    ("inbox", _inbox),
    ("sharing", _modes),
    ("safe.directory", _trust),
    ("leftovers", _leftovers),
    ("objects", _objects),
    ("descriptor", _described),
    ("disk", _room),
)
