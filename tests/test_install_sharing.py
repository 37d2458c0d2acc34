"""install/sharing.py: what core.sharedRepository means, and who can reach a path."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from support import git, require

from coordjournal.install import InstallError, sharing
from coordjournal.install.sharing import Audience

VALUES = ["umask", "false", "group", "true", "all", "world", "everybody", "0660", "0640", "0664", "0600"]


@pytest.mark.parametrize("value", [None, *VALUES])
def test_modes_are_those_that_git_itself_gives(value: str | None, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", *([f"--shared={value}"] if value else []), "r.git")
    made = tmp_path / "r.git"
    written = git(made, "hash-object", "-w", "--stdin", stdin=b"x")
    shared = sharing.parse(value)
    umask = os.umask(0o022)
    os.umask(umask)
    assert umask == 0o022
    assert stat.S_IMODE((made / "objects" / written[:2] / written[2:]).stat().st_mode) == shared.file(0o444)
    folder = stat.S_IMODE((made / "objects" / written[:2]).stat().st_mode)
    assert folder & 0o777 == shared.folder() & 0o777
    if shared.group:
        assert folder == shared.folder()
    assert (shared.group, shared.everyone) == (
        value in ("group", "true", "all", "world", "everybody", "0660", "0664"),
        value in ("all", "world", "everybody", "0664"),
    )


@pytest.mark.parametrize("value", ["0060", "sometimes", "8"])
def test_what_git_does_not_understand_is_refused(value: str) -> None:
    with pytest.raises(InstallError, match="does not understand"):
        sharing.parse(value)


def test_the_obstacle_is_the_folder_that_locks_out(open_place: Path, tmp_path: Path) -> None:
    home = open_place / tmp_path.name
    place = home / "lib"
    place.mkdir(parents=True)
    me = Audience(os.geteuid())
    everyone = Audience(os.geteuid(), everyone=True)
    assert sharing.obstacle(str(place), me) == ""
    assert sharing.obstacle(str(place), everyone) == ""
    home.chmod(0o700)
    assert sharing.obstacle(str(place), me) == ""
    assert f"may not enter {home} (mode 0700" in sharing.obstacle(str(place), everyone)


def test_a_group_gets_in_by_its_own_bits_or_by_those_of_others(open_place: Path, tmp_path: Path) -> None:
    require(os.geteuid() == 0, "root, to give files away")
    place = open_place / tmp_path.name
    place.mkdir()
    try:
        other, mine, uid = 54_001, 54_002, 54_003
        for gid, mode, reached in [
            (mine, 0o750, True),
            (mine, 0o705, False),  # a member of the owning group does not get the bits of others
            (other, 0o750, False),
            (other, 0o705, True),
        ]:
            os.chown(place, 0, gid)
            place.chmod(mode)
            fault = sharing.obstacle(str(place), Audience(0, mine))
            assert (fault == "") is reached, (gid, mode, fault)
        os.chown(place, uid, other)
        place.chmod(0o500)
        assert sharing.obstacle(str(place), Audience(uid)) == ""
        assert "the account 54004 may not enter" in sharing.obstacle(str(place), Audience(54_004))
    finally:
        place.rmdir()


def test_symbolic_links_are_followed_through_every_folder(open_place: Path, tmp_path: Path) -> None:
    top = open_place / tmp_path.name
    (top / "closed").mkdir(parents=True)
    (top / "open").mkdir()
    (top / "closed" / "to-open").symlink_to("../open")
    (top / "link").symlink_to("closed/to-open")  # ends in an open folder, by way of a closed one
    everyone = Audience(os.geteuid(), everyone=True)
    assert sharing.obstacle(str(top / "link"), everyone) == ""
    (top / "closed").chmod(0o700)
    assert f"may not enter {top / 'closed'} (" in sharing.obstacle(str(top / "link"), everyone)
    (top / "loop").symlink_to("loop")
    assert "cannot be reached" in sharing.obstacle(str(top / "loop"), everyone)
    assert "cannot be reached" in sharing.obstacle(str(top / "nowhere"), everyone)


def test_a_file_must_be_readable_or_executable(open_place: Path, tmp_path: Path) -> None:
    file = open_place / tmp_path.name
    file.write_text("x")
    everyone = Audience(os.geteuid(), everyone=True)
    file.chmod(0o644)
    assert sharing.obstacle(str(file), everyone) == ""
    assert "may not execute" in sharing.obstacle(str(file), everyone, execute=True)
    file.chmod(0o755)
    assert sharing.obstacle(str(file), everyone, execute=True) == ""
    file.chmod(0o640)
    assert "other accounts may not read" in sharing.obstacle(str(file), everyone)


def test_names_of_accounts_and_groups() -> None:
    assert sharing.account(0) == "root"
    assert sharing.account(54_321_987) == "54321987"
    assert sharing.group(54_321_987) == "54321987"
    assert "root" in sharing.members(0)
    assert sharing.members(54_321_987) == []
