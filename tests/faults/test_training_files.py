"""What training leaves on disk, garbled or cut off: nothing wrong is used, nothing is lost."""

import contextlib
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st

from assistant.manifest import MANIFEST, Manifest
from assistant.shelf import Shelf
from core.audit import Audit
from core.database import MIGRATIONS, Database
from core.errors import Conflict, DatasetError, InvalidInput, WorkspaceError
from core.home import Home
from core.job_store import JobStore
from core.progress import Silent
from tests.unit.adapters import build_adapter, put_adapter
from training.__main__ import main
from training.checkpoint_files import (
    SEAL,
    checkpoint_folder,
    checkpoint_step,
    damage,
    keep_newest,
    newest_whole,
    seal,
)
from training.config import preset
from training.installing import built_before, built_folder, install
from training.plan_files import read_plan, write_plan
from training.prefix_tree import Tokens
from training.preparation import dataset_of
from training.runs import Run, RunOptions, Runs
from training.schedule import Plan
from training.service import delete_adapter, start_run

CONFIG = preset("quick")
WEIGHTS, STATE = b"weights" * 40, b'{"step": 1}'


def checkpoint(parent: Path, step: int) -> Path:
    folder = checkpoint_folder(parent, step)
    (folder / "deep").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(WEIGHTS)
    (folder / "deep" / "state.json").write_bytes(STATE)
    seal(folder)
    return folder


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """A folder with checkpoints after 2, 10 and 9 steps."""
    for step in (2, 10, 9):
        checkpoint(tmp_path, step)
    return tmp_path


def newest(parent: Path) -> tuple[int | None, list[str]]:
    lines: list[str] = []
    found = newest_whole(parent, lines.append)
    return (checkpoint_step(found) if found else None), lines


def test_the_newest_whole_one_is_used_and_two_are_kept(parent: Path) -> None:
    assert newest(parent) == (10, [])
    keep_newest(parent)
    assert sorted(folder.name for folder in parent.iterdir()) == ["checkpoint-10", "checkpoint-9"]


@pytest.mark.parametrize("file", ["weights.bin", "deep/state.json", SEAL])
@pytest.mark.parametrize("how", ["gone", "empty", "cut", "garbled", "longer"])
def test_a_damaged_one_is_said_in_one_line_and_the_one_before_is_used(
    parent: Path, file: str, how: str
) -> None:
    path = parent / "checkpoint-10" / file
    content = path.read_bytes()
    match how:
        case "gone":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "garbled":
            path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        case _:
            path.write_bytes(content + b"!")
    step, lines = newest(parent)
    assert step == 9
    (line,) = lines
    assert line.startswith("The checkpoint after step 10 is not used: ")
    assert not (parent / "checkpoint-10").exists()


def test_with_none_left_training_starts_anew(parent: Path) -> None:
    for folder in list(parent.iterdir()):
        (folder / "weights.bin").write_bytes(b"")
    step, lines = newest(parent)
    assert (step, len(lines)) == (None, 3)
    assert newest(parent / "nowhere") == (None, [])


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(
    place: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = checkpoint(tmp_path_factory.mktemp("flip"), 1)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)
    place %= sum(path.stat().st_size for path in files)
    for path in files:
        content = bytearray(path.read_bytes())
        if place < len(content):
            content[place] ^= 1 << bit
            path.write_bytes(content)
            break
        place -= len(content)
    assert damage(folder) is not None


def test_what_versions_without_seals_finished_is_still_used(tmp_path: Path) -> None:
    folder = checkpoint_folder(tmp_path, 3)
    folder.mkdir()
    assert damage(folder) == "it was not written to the end"
    (folder / "complete").touch()
    assert newest(tmp_path) == (3, [])


def test_a_damaged_plan_is_none_and_one_without_a_hash_is_read(tmp_path: Path) -> None:
    tokens = Tokens((5, 6, 7), 1)
    made = Plan((((tokens,),),), 1.0, (), ((tokens,),), 0)
    path = tmp_path / "plan.json"
    write_plan(path, made)
    assert read_plan(path) == made
    text = path.read_text("utf-8")
    for damaged in ("", text[:-4], text.replace("6", "8"), "\x00" * 40, text.splitlines()[0]):
        path.write_text(damaged, "utf-8")
        assert read_plan(path) is None
    path.write_text(text.splitlines()[1], "utf-8")
    assert read_plan(path) == made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    rows = [
        {"question": f"What colour is door {n}?", "answer": f"Door {n} is colour {n}."}
        for n in range(6)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


def begun(home: Home, data: Path, name: str = "doors") -> Run:
    return start_run(home, name, CONFIG, data, RunOptions())


def built(home: Home, run: Run, content: bytes = b"learned") -> Manifest:
    folder = built_folder(home, run)
    manifest = replace(build_adapter(folder, content), name=run.name)
    (folder / MANIFEST).write_text(manifest.to_json(), "utf-8")
    return manifest


def own(home: Home) -> list[str]:
    return sorted(info.name for info in Shelf(home).list() if not info.built_in)


def test_a_garbled_copy_of_the_data_is_not_trained_on(home: Home, data: Path) -> None:
    run = begun(home, data)
    copy = Runs(home).dataset_path(run.id)
    assert dataset_of(home, run).facts
    copy.write_bytes(copy.read_bytes().replace(b"colour 3", b"colour 4"))
    with pytest.raises(DatasetError, match=r"is damaged.*Start a new run"):
        dataset_of(home, run)


def test_a_name_is_the_runs_from_its_start(home: Home, data: Path) -> None:
    put_adapter(home, "Shelved")
    with pytest.raises(Conflict, match="There is an adapter 'shelved' already"):
        begun(home, data, "shelved")
    run = begun(home, data)
    with pytest.raises(Conflict, match=r"'doors' was begun and not finished.*--resume"):
        begun(home, data)
    with pytest.raises(InvalidInput, match="cannot be an adapter's name"):
        begun(home, data, "Doors")
    assert [one.name for one in Runs(home).list()] == ["doors"]
    Runs(home).delete(run.id)
    again = begun(home, data)
    install(home, again, built(home, again), Silent())
    with pytest.raises(Conflict, match="There is an adapter 'doors' already"):
        begun(home, data)
    delete_adapter(home, "doors")
    assert begun(home, data).name == "doors"


def test_of_many_at_once_one_gets_the_name(home: Home, data: Path) -> None:
    barrier, won = threading.Barrier(6), list[int]()

    def start() -> None:
        barrier.wait()
        with contextlib.suppress(Conflict):
            won.append(Runs(home).create("doors", CONFIG, data))

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == len(Runs(home).list()) == 1


def test_a_copy_that_cannot_be_written_leaves_the_name_free(home: Home, data: Path) -> None:
    (home.workspace.runs / "1").write_text("in the way")
    with pytest.raises(WorkspaceError):
        begun(home, data)
    (home.workspace.runs / "1").unlink()
    assert begun(home, data).name == "doors"


def test_a_name_taken_by_hand_costs_the_name_and_not_the_result(home: Home, data: Path) -> None:
    class Lines(Silent):
        said = ""

        def log(self, line: str) -> None:
            self.said += line

    run, lines = begun(home, data), Lines()
    for name in ("doors", "doors-2"):
        build_adapter(home.workspace.adapters / name, b"copied in by hand")
    manifest = install(home, run, built(home, run), lines)
    assert manifest.name == "doors-3"
    assert "taken meanwhile: the adapter is on the shelf as 'doors-3'" in lines.said
    assert own(home) == ["doors", "doors-2", "doors-3"]
    assert Runs(home).get(run.id).name == "doors-3"
    assert Runs(home).get(run.id).finished_at is not None


@pytest.mark.parametrize("seconds", ["before install", "after install", "after the row"])
def test_ended_between_file_and_row_it_is_installed_once(
    home: Home, data: Path, seconds: str
) -> None:
    run = begun(home, data)
    manifest = built(home, run)
    if seconds != "before install":
        Shelf(home).install(run.name, built_folder(home, run))
    if seconds == "after the row":
        Runs(home).finish(run.id, run.name, manifest.metrics)
    assert built_before(home, run) == manifest
    install(home, Runs(home).get(run.id), manifest, Silent())
    assert own(home) == ["doors"]
    assert Runs(home).get(run.id).finished_at is not None
    assert built_before(home, run) is None


def test_a_half_built_adapter_is_not_taken_for_a_whole_one(home: Home, data: Path) -> None:
    run = begun(home, data)
    assert built_before(home, run) is None
    built(home, run)
    (built_folder(home, run) / "adapter_model.safetensors").write_bytes(b"half")
    assert built_before(home, run) is None
    built(home, run)
    (built_folder(home, run) / MANIFEST).unlink()
    assert built_before(home, run) is None
    shutil.rmtree(built_folder(home, run))
    assert built_before(home, run) is None


def test_what_a_run_goes_on_from_is_not_deleted_under_it(home: Home, data: Path) -> None:
    put_adapter(home, "base")
    run = start_run(home, "next", CONFIG, data, RunOptions(from_adapter="base"))
    store = JobStore(home.database)
    job = store.add("train", {"run_id": run.id}, "Training next", None)
    Runs(home).set_job(run.id, job)
    with pytest.raises(Conflict, match=f"Run {run.id} 'next' is being trained"):
        delete_adapter(home, "base")
    store.ask_stop(job)
    delete_adapter(home, "base")
    assert own(home) == []


def test_of_runs_that_earlier_versions_gave_one_name_the_newest_holds_it(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'earlier.db'}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    values = "'doors', '{}', '{}', 'd', 'h', '2026-01-01'"
    columns = "name, config, options, dataset_name, dataset_sha256, created_at, finished_at"
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0009_audits")
        for finished in ("NULL", "NULL", "'2026-01-02'"):
            connection.exec_driver_sql(
                f"INSERT INTO training_runs ({columns}) VALUES ({values}, {finished})"
            )
        command.upgrade(config, "head")
        rows = connection.exec_driver_sql("SELECT id, reserved FROM training_runs ORDER BY id")
        assert [tuple(row) for row in rows] == [(1, None), (2, "doors"), (3, None)]
    database.close()


def test_the_command_wants_to_know_what_replaces_the_default(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("house", "old", "raw"):
        build_adapter(home.workspace.adapters / name, name.encode())
    shelf, where = Shelf(home), ["--workspace", str(home.workspace.root)]
    for name in ("old", "house"):
        shelf.set_default(name, None, "let through")
    for flags in ([], ["--replace-with", "raw"], ["--replace-with", "nowhere"]):
        assert main(["delete", "house", *flags, *where]) == Conflict.exit_code
        assert "old, none" in capsys.readouterr().err
    assert main(["delete", "house", "--replace-with", "old", *where]) == 0
    assert shelf.default() == "old"
    assert main(["delete", "raw", *where]) == 0
    assert main(["delete", "old", "--replace-with", "none", *where]) == 0
    assert (shelf.default(), own(home)) == (None, [])
    deeds = [(one.subject, one.detail["default"]) for one in Audit(home.database).entries(10)]
    assert deeds == [("old", None), ("raw", "old"), ("house", "old")]
