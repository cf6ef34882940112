"""`python -m eval` with the embedded models: the shape that programs rely on."""

import json
import math
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from core.home import open_home
from core.progress import Silent
from eval.__main__ import commands
from retrieval.service import open_retrieval

LEAVE = "# Leave\n\nEmployees of Asdfg get 27 days of leave a year.\n"
OFFICE = "# Office\n\nThe office is at Harbour Street 5. It opens at 7:30.\n"
QUESTIONS = [
    {"id": "q1", "question": "How many days of leave do employees get?", "answer": "27 days.",
     "short_answers": ["27"], "kind": "unseen", "evidence_file": "leave.md",
     "evidence_quote": "Employees of **Asdfg** get 27 days of leave a year."},
    {"id": "q2", "question": "When does the office open?", "answer": "It opens at 7:30.",
     "short_answers": ["7:30"], "kind": "unseen", "evidence_file": "office.md",
     "evidence_quote": "It opens at 7:30."},
    {"id": "n1", "question": "Who founded Asdfg?", "kind": "unanswerable", "why": "Not said."},
]  # fmt: skip


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Call a command line; return its JSON, or what it says when it fails as expected."""
    monkeypatch.setenv("INHOUSE_ANSWER_TOKENS", "12")

    def call(workspace: Path, *arguments: object, expect: int = 0) -> Any:
        argv = [*map(str, arguments), "--workspace", str(workspace), "--json"]
        code = commands().run(argv)
        printed = capsys.readouterr()
        assert code == expect, printed.err
        return json.loads(printed.out) if expect == 0 else printed.err

    return call


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    folder = tmp_path_factory.mktemp("eval")
    for name in ("empty", "home"):
        (folder / name).mkdir()
        (folder / name / "models").symlink_to(models)
    (folder / "documents").mkdir()
    (folder / "documents" / "leave.md").write_text(LEAVE, "utf-8")
    (folder / "documents" / "office.md").write_text(OFFICE, "utf-8")
    lines = "\n".join(json.dumps(question) for question in QUESTIONS)
    (folder / "questions.jsonl").write_text(lines, "utf-8")
    return folder


def test_a_mode_without_documents_is_refused_with_the_remedy(
    workspace: Path, run: Callable[..., Any]
) -> None:
    said = run(workspace / "empty", "run", "--questions", workspace / "questions.jsonl",
               "--modes", "rag", expect=2)  # fmt: skip
    assert "python -m retrieval ingest" in said
    said = run(workspace / "empty", "run", "--questions", workspace / "none.jsonl",
               "--modes", "base", expect=2)  # fmt: skip
    assert "none.jsonl' does not exist" in said
    said = run(workspace / "empty", "run", "--questions", workspace / "questions.jsonl",
               "--modes", "tuned", "--adapter", "nobody", expect=3)  # fmt: skip
    assert "nobody" in said


def test_run_prints_one_object_of_the_agreed_shape(
    workspace: Path, run: Callable[..., Any]
) -> None:
    home, report = workspace / "home", workspace / "report"
    installation = open_home(workspace=home)
    with closing(installation.database):
        ingestor = open_retrieval(installation).ingestor
        ingestor.ingest([workspace / "documents"], progress=Silent())
    command = ("run", "--questions", workspace / "questions.jsonl", "--modes", "base,rag",
               "--report", report, "--latency-sample", "1")  # fmt: skip
    found = run(home, *command)
    assert set(found) == {"report", "modes", "by_kind"}
    assert found["report"] == str(report / "report.html")
    assert list(found["modes"]) == ["base", "rag"]
    assert set(found["by_kind"]) == {"unseen", "unanswerable"}
    for tables in (found["modes"], *found["by_kind"].values()):
        for measures in tables.values():
            for estimate in measures.values():
                assert set(estimate) == {"value", "low", "high", "n"}
                assert estimate["value"] is None or math.isfinite(estimate["value"])
    accuracy = found["modes"]["rag"]["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert accuracy["n"] == 2
    assert found["modes"]["rag"]["evidence_recall"]["value"] == 1.0
    assert found["modes"]["rag"]["latency_p50_s"]["value"] > 0
    assert {file.name for file in report.iterdir()} == {
        "report.html", "report.md", "report.json", "rows.jsonl"}  # fmt: skip
    page = (report / "report.html").read_text("utf-8")
    assert "No recommendation: 3 questions are too few" in page
    outside = [part for part in ('src="http', 'href="http', "url(http", "@import") if part in page]
    assert outside == []

    listed = run(home, "list")["evaluations"]
    assert [(one["id"], one["state"], one["modes"]) for one in listed] == [
        (1, "done", ["base", "rag"])]  # fmt: skip
    again = run(home, *command)
    timed = ("latency_p50_s", "latency_p95_s", "first_token_p50_s")
    for arm, measures in again["modes"].items():
        for key in measures:
            if key not in timed:
                assert measures[key] == found["modes"][arm][key]
    assert run(home, "check", "--min-accuracy", "rag=0.0", "--baseline",
               report / "report.json") == {"evaluation": 2, "passed": True}  # fmt: skip
    assert "below the floor" in run(home, "check", "--min-accuracy", "base=1.0", expect=1)


def test_a_model_that_is_not_there_is_not_audited(tmp_path: Path, run: Callable[..., Any]) -> None:
    """test_eval_audit.py audits two that are there."""
    said = run(tmp_path / "workspace", "audit", "nowhere/nothing", expect=7)
    assert "nowhere/nothing" in said
