"""The workspace is read by its own account alone."""

import os
import stat
from pathlib import Path

import pytest

from core.home import Home, open_home
from core.modes import open_to_others, tighten
from core.workspace import Workspace


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_whatever_the_umask_nothing_is_open(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        home = open_home(workspace=tmp_path / "workspace")
        (home.workspace.uploads / "x").write_bytes(b"")
        home.database.close()
    finally:
        os.umask(before)
    assert open_to_others(home.workspace) == []
    for path in home.workspace.root.rglob("*"):
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path


def loosen(root: Path) -> None:
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o777 if path.is_dir() else 0o666)


def test_an_existing_workspace_is_tightened_and_links_are_left(home: Home, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs").write_text("x")
    loosen(outside)
    (home.workspace.files / "1").mkdir()
    (home.workspace.files / "1" / "a.md").write_text("x")
    loosen(home.workspace.root)
    (home.workspace.models / "link").symlink_to(outside)
    (home.workspace.models / "file").symlink_to(outside / "theirs")
    said = "\n".join(open_to_others(home.workspace))
    for path in (home.workspace.root, home.workspace.database, home.workspace.files / "1/a.md"):
        assert f"'{path}' is open to others" in said
    assert "outside" not in said
    tighten(home.workspace)
    assert open_to_others(home.workspace) == []
    assert mode(home.workspace.root) == 0o700
    assert mode(home.workspace.files / "1" / "a.md") == 0o600
    assert (mode(outside), mode(outside / "theirs")) == (0o777, 0o666)


def test_a_folder_shared_with_others_stays_open_around_ours(tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    (shared / "theirs").write_text("x")
    workspace = Workspace(shared)
    loosen(shared)
    shared.chmod(0o1777)
    tighten(workspace)
    assert mode(shared) == 0o1777
    assert mode(shared / "theirs") == 0o666
    assert mode(workspace.files) == 0o700
    assert mode(shared / "workspace.json") == 0o600


def test_what_belongs_to_somebody_else_is_named(home: Home) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file away")
    file = home.workspace.logs / "app.log"
    file.write_text("x")
    os.chown(file, 12345, -1)
    assert any("belongs to user 12345" in line for line in open_to_others(home.workspace))
