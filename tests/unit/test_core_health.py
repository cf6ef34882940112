"""A garbled database or journal is told before anything uses it, and kept as it was found."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from core.backup import back_up
from core.checkup import check_files
from core.errors import Conflict, DamageError, InvalidInput, WorkspaceError
from core.health import check_database, start_check
from core.home import Home, open_home
from core.settings import Settings
from core.wal import lost_commits
from core.workspace import Workspace

SETTINGS = Settings()
COMMITS = 40
_KILLED = """
import os, sqlite3, sys
file = sqlite3.connect(sys.argv[1])
file.execute("PRAGMA journal_mode=WAL")
file.execute("CREATE TABLE notes (number, text)")
for number in range(int(sys.argv[2])):
    with file:
        file.execute("INSERT INTO notes VALUES (?, ?)", (number, "x" * 3000))
if sys.argv[3:]:
    file.execute("PRAGMA wal_checkpoint(" + sys.argv[3] + ")").fetchall()
os.kill(os.getpid(), 9)
"""


def killed(root: Path, commits: int = COMMITS, *checkpoint: str) -> Workspace:
    """A workspace whose database was being written when its process was killed."""
    workspace = Workspace(root)
    command = [sys.executable, "-c", _KILLED, str(workspace.database), str(commits), *checkpoint]
    assert subprocess.run(command, check=False).returncode == -9
    return workspace


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return killed(tmp_path_factory.mktemp("killed") / "workspace")


@pytest.fixture
def workspace(left: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(left.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def journal(workspace: Workspace) -> Path:
    return workspace.root / "inhouse.db-wal"


def shared(workspace: Workspace) -> Path:
    return workspace.root / "inhouse.db-shm"


def flip(file: Path, place: int, bit: int = 0) -> None:
    with file.open("r+b") as handle:
        handle.seek(place)
        old = handle.read(1)[0]
        handle.seek(place)
        handle.write(bytes([old ^ 1 << bit]))


def kept(workspace: Workspace) -> int:
    with closing(sqlite3.connect(workspace.database)) as file:
        return int(file.execute("SELECT count(*) FROM notes").fetchone()[0])


def test_a_whole_journal_is_no_damage(workspace: Workspace) -> None:
    assert lost_commits(workspace.database) == ""
    shared(workspace).unlink()
    assert lost_commits(workspace.database) == ""
    check_database(SETTINGS, workspace)
    assert kept(workspace) == COMMITS


@pytest.mark.parametrize("checkpoint", ["PASSIVE", "TRUNCATE", "RESTART"])
def test_a_journal_that_was_folded_in_is_no_damage(tmp_path: Path, checkpoint: str) -> None:
    found = killed(tmp_path / "workspace", COMMITS, checkpoint)
    assert lost_commits(found.database) == ""


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("remembered", [True, False])
def test_any_flipped_bit_that_costs_commits_is_told(
    workspace: Workspace, seed: int, remembered: bool
) -> None:
    size = journal(workspace).stat().st_size
    # Without shared memory a last commit that is garbled looks like one that was cut short.
    place = random.Random(seed).randrange(0, size if remembered else size - 6 * 4120)
    if not remembered:
        shared(workspace).unlink()
    flip(journal(workspace), place, seed)
    said = lost_commits(workspace.database)
    assert "acknowledged cannot be read" in said, place
    assert kept_after_all(workspace) < COMMITS


def kept_after_all(workspace: Workspace) -> int:
    try:
        return kept(workspace)
    except sqlite3.DatabaseError:
        return 0


def test_a_write_that_was_cut_short_is_no_damage(workspace: Workspace) -> None:
    shared(workspace).unlink()
    os.truncate(journal(workspace), journal(workspace).stat().st_size - 100)
    assert lost_commits(workspace.database) == ""


def test_pages_that_were_never_committed_are_no_damage(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    file, copy = sqlite3.connect(workspace.database), tmp_path / "copy"
    file.execute("PRAGMA journal_mode=WAL")
    file.execute("PRAGMA cache_size=5")
    file.execute("CREATE TABLE notes (number, text)")
    file.execute("INSERT INTO notes VALUES (0, ?)", ("x" * 500_000,))
    file.rollback()
    with file:
        file.execute("INSERT INTO notes VALUES (1, 'short')")
    shutil.copytree(workspace.root, copy)
    file.close()
    assert (copy / "inhouse.db-wal").stat().st_size > 300_000
    assert lost_commits(copy / "inhouse.db") == ""
    (copy / "inhouse.db-shm").unlink()
    assert lost_commits(copy / "inhouse.db") == ""


@pytest.mark.parametrize("length", [None, 0, 10, 32, 4152, 100_000])
def test_a_journal_that_was_cut_or_removed_is_told(
    workspace: Workspace, length: int | None
) -> None:
    if length is None:
        journal(workspace).unlink()
    else:
        os.truncate(journal(workspace), length)
    assert "cannot be read" in lost_commits(workspace.database)


@pytest.mark.parametrize("where", ["header", "salt", "zeros"])
@pytest.mark.parametrize("remembered", [True, False])
def test_a_garbled_header_is_told(workspace: Workspace, where: str, remembered: bool) -> None:
    if not remembered:
        shared(workspace).unlink()
    if where == "zeros":
        with journal(workspace).open("r+b") as handle:
            handle.write(bytes(32))
    else:
        flip(journal(workspace), 1 if where == "header" else 17)
    assert "header of 'inhouse.db-wal' is garbled" in lost_commits(workspace.database)


def test_nothing_starts_and_the_files_stay_as_they_were_found(workspace: Workspace) -> None:
    flip(journal(workspace), 50_000)
    before = {name: (workspace.root / name).read_bytes() for name in files(workspace.root)}
    for _ in range(3):
        with pytest.raises(DamageError) as caught:
            open_home(partial(start_check, accept=False), workspace=workspace.root)
        for word in ("acknowledged cannot be read", "--accept-damage", "restore", ".recover"):
            assert word in caught.value.message
    copies = list(workspace.root.glob("damaged-*"))
    assert len(copies) == 1, "one copy is enough"
    for folder in (workspace.root, copies[0]):
        assert {name: (folder / name).read_bytes() for name in before} == before


def files(root: Path) -> list[str]:
    return [path.name for path in root.iterdir() if path.name.startswith("inhouse.db")]


def test_a_person_may_go_on_without_what_is_lost(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    root = home.workspace.root
    home.database.close()
    (root / "inhouse.db-wal").write_bytes(random.Random(1).randbytes(9000))
    opened = open_home(partial(start_check, accept=True), workspace=root)
    opened.database.close()
    assert "Starting without what cannot be read" in capsys.readouterr().err
    assert list(root.glob("damaged-*"))


def garble_page(file: Path, seed: int) -> None:
    luck = random.Random(seed)
    with file.open("r+b") as handle:
        handle.seek(4096 * luck.randrange(file.stat().st_size // 4096))
        handle.write(luck.randbytes(4096))


def halve(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 8192 * 4096)


@pytest.mark.parametrize("spoil", [*(partial(garble_page, seed=seed) for seed in range(8)), halve])
def test_a_garbled_page_is_told(home: Home, spoil: Callable[[Path], None]) -> None:
    workspace = home.workspace
    home.database.close()
    spoil(workspace.database)
    with pytest.raises(DamageError, match=r"inhouse\.db"):
        check_database(SETTINGS, workspace)


@pytest.mark.parametrize("empty", [True, False])
def test_a_database_that_vanished_is_told(home: Home, empty: bool) -> None:
    home.database.close()
    (home.workspace.files / "1").mkdir()
    home.workspace.database.unlink()
    if empty:
        home.workspace.database.touch()
    with pytest.raises(DamageError, match=r"is (gone|empty), but 'files/' is not"):
        check_database(SETTINGS, home.workspace)


def test_a_new_workspace_is_well(tmp_path: Path) -> None:
    opened = open_home(partial(start_check, accept=False), workspace=tmp_path / "workspace")
    assert check_files(opened) == []
    opened.database.close()


def test_a_backup_is_a_workspace_and_is_whole(home: Home, tmp_path: Path) -> None:
    (home.workspace.files / "1").mkdir()
    (home.workspace.files / "1" / "a.md").write_text("# A\n")
    with home.database.session() as session:
        session.connection().exec_driver_sql("CREATE TABLE notes (text)")
        session.connection().exec_driver_sql("INSERT INTO notes VALUES ('kept')")
        session.commit()
        target = back_up(home, tmp_path / "backups" / "monday")
    assert (target / "files" / "1" / "a.md").read_text() == "# A\n"
    restored = open_home(partial(start_check, accept=False), workspace=target)
    with restored.database.session() as session:
        found = session.connection().exec_driver_sql("SELECT text FROM notes").scalar()
    restored.database.close()
    assert found == "kept"
    with pytest.raises(Conflict, match="not empty"):
        back_up(home, target)
    with pytest.raises(InvalidInput, match="workspace itself"):
        back_up(home, home.workspace.root / "backup")


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "null", "{}", '{"format": 0}', '{"format": -1}', '{"format": 1e999}',
     '{"format": "1"}', "[" * 100_000, '{"format": true}'],
)  # fmt: skip
def test_a_garbled_marker_is_told(tmp_path: Path, text: str) -> None:
    Workspace(tmp_path)
    (tmp_path / "workspace.json").write_text(text)
    with pytest.raises(WorkspaceError, match=r"is damaged\. Restore it from a backup"):
        Workspace(tmp_path)
