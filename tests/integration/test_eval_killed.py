"""An evaluation killed half-way, and asked for twice, by real processes with a real model."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch

from core.home import open_home
from core.progress import Silent
from eval.__main__ import commands
from retrieval.service import open_retrieval
from tests.eval_fakes import FACTS, rows
from tests.integration.tiny_model import write_tiny_model
from tests.reports import without_times
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = 26
ROWS = 2 * QUESTIONS
"""Two modes."""
AS_MODULE = """
import json, runpy, sys
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["eval", *arguments]
    try:
        runpy.run_module("eval", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code:
            raise
"""
"""`python -m eval` with one list of arguments after the other: libraries are loaded once."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace with documents, beside it a small model and a question set."""
    folder = tmp_path_factory.mktemp("killed")
    write_tiny_model(folder / "tiny-model", FACTS)
    (folder / "rules").mkdir()
    for number, fact in enumerate(FACTS[:10]):
        (folder / "rules" / f"{number}.md").write_text(f"# Rule {number}\n\n{fact}\n", "utf-8")
    lines = [json.dumps(row) for row in rows(20, 6)]
    (folder / "questions.jsonl").write_text("\n".join(lines), "utf-8")
    home = open_home(workspace=folder / "home")
    with closing(home.database):
        open_retrieval(home).ingestor.ingest([folder / "rules"], progress=Silent())
    yield folder


def command(folder: Path, workspace: str, *more: str) -> list[str]:
    """What follows `python -m eval`."""
    return [
        "run", "--questions", str(folder / "questions.jsonl"),
        "--modes", "base,rag", "--batch", "2", "--latency-sample", "0",
        "--workspace", str(folder / workspace), "--json", *more,
    ]  # fmt: skip


def environment(folder: Path) -> dict[str, str]:
    return {
        "INHOUSE_MODEL": str(folder / "tiny-model"),
        "INHOUSE_ANSWER_TOKENS": "24",
        "INHOUSE_EVIDENCE_FINDER": "words",
        "INHOUSE_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def evaluate_here(folder: Path, workspace: str, *more: str) -> None:
    """`python -m eval run` within this process, which has the model's libraries loaded."""
    threads = torch.get_num_threads()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment(folder).items():
                patch.setenv(name, value)
            assert commands().run(command(folder, workspace, *more)) == 0
    finally:
        torch.set_num_threads(threads)


def answered(workspace: Path) -> int:
    """Answers committed so far, as another process sees them."""
    with closing(sqlite3.connect(workspace / "inhouse.db", timeout=30)) as database:
        return int(database.execute("select count(*) from eval_answers").fetchone()[0])


@pytest.fixture(scope="module")
def straight(prepared: Path) -> Path:
    """The workspace of an evaluation that nothing disturbed.

    Beside it lies `killed`: the same process began a second evaluation there, and was killed.
    """
    for name in ("straight", "killed"):
        shutil.copytree(prepared / "home", prepared / name)
    both = [command(prepared, name) for name in ("straight", "killed")]
    process = subprocess.Popen(
        [sys.executable, "-c", AS_MODULE, json.dumps(both)],
        cwd=ROOT, env={**os.environ, **environment(prepared)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    while process.poll() is None and answered(prepared / "killed") < ROWS // 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL, f"it was over before it could be killed: {said}"
    return prepared / "straight"


def test_killed_half_way_and_resumed_the_report_is_the_same_to_the_byte(
    prepared: Path, straight: Path
) -> None:
    kept = answered(prepared / "killed")
    assert ROWS // 2 <= kept < ROWS
    evaluate_here(prepared, "killed")
    reports = [folder / "evaluations" / "1" for folder in (straight, prepared / "killed")]
    assert without_times(reports[0]) == without_times(reports[1])
    assert not (prepared / "killed" / "evaluations" / "2").exists(), "it went on with the first"


def test_answered_again_from_nothing_all_figures_are_the_same(
    prepared: Path, straight: Path
) -> None:
    shutil.copytree(prepared / "home", prepared / "again")
    evaluate_here(prepared, "again", "--fresh")
    one, other = (
        json.loads((folder / "evaluations" / "1" / "report.json").read_text("utf-8"))
        for folder in (straight, prepared / "again")
    )
    assert answered(prepared / "again") >= ROWS, "nothing was taken from the first"
    for field in ("rows", "modes", "by_kind", "pairs", "failures", "search_depth"):
        assert one[field] == other[field]
