"""Audits of base models: stored, resumed, reported; two real models side by side."""

import json
from pathlib import Path
from typing import Any

import pytest

from assistant.modes import AnswerMode
from core.errors import EngineError, InvalidInput, NotFound
from core.home import Home
from core.progress import Silent
from eval.__main__ import commands
from eval.arms import Plan
from eval.audit import Audits
from eval.evaluations import Evaluations
from tests.integration.tiny_model import write_tiny_model

PLAN = Plan(modes=(AnswerMode.BASE,), latency_sample=0)
QUESTIONS = [
    {"id": "q1", "question": "What is the capital of France?", "answer": "Paris.",
     "short_answers": ["Paris"], "kind": "unseen"},
    {"id": "q2", "question": "How many days has a week?", "answer": "Seven.",
     "short_answers": ["seven", "7"], "kind": "unseen"},
]  # fmt: skip


def model_folder(home: Home, name: str) -> str:
    """A folder that passes for a model as long as nobody loads it."""
    folder = home.workspace.root / name
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    header = json.dumps({"w": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return str(folder)


class Stopwatch:
    """Measures nothing; says which models it was asked for."""

    def __init__(self, fails: str = "") -> None:
        self.asked: list[str] = []
        self.fails = fails

    def __call__(self, home: Home, model: str) -> dict[str, Any]:
        self.asked.append(Path(model).name)
        if self.fails and self.fails in model:
            raise EngineError(f"The model '{model}' could not be measured: no memory")
        return {"name": model, "context_tokens": 512, "load_s": 0.5, "first_token_s": 0.1,
                "tokens_per_s": 20.0, "memory_mb": 100.0}  # fmt: skip


def test_an_audit_is_kept_with_table_and_plot(home: Home) -> None:
    audits = Audits(home, Stopwatch())
    number = audits.create([model_folder(home, "small"), model_folder(home, "large")], [], PLAN)
    audit = audits.run(number, Silent())
    assert [(one.parameters, one.licence) for one in audit.results] == [(12, "apache-2.0")] * 2
    assert [one.quality for one in audit.results] == [None, None]
    assert audit.finished_at is not None
    page = audits.report_path(number).read_text("utf-8")
    assert page.count("<svg") == 1
    assert "apache-2.0" in page
    assert [one.id for one in audits.list()] == [number]
    assert json.loads(audits.report_path(number, "json").read_text())["models"][0]["load_s"] == 0.5
    audits.delete(number)
    assert audits.list() == []
    with pytest.raises(NotFound):
        audits.report_path(number)


def test_a_failed_audit_goes_on_where_it_ended(home: Home) -> None:
    models = [model_folder(home, "small"), model_folder(home, "large")]
    audits = Audits(home, Stopwatch(fails="large"))
    number = audits.create(models, [], PLAN)
    with pytest.raises(EngineError, match="no memory"):
        audits.run(number, Silent())
    assert len(audits.get(number).results) == 1
    again = Stopwatch()
    Audits(home, again).run(number, Silent())
    assert again.asked == ["large"]


def test_what_cannot_be_audited_is_refused_before_anything_is_measured(home: Home) -> None:
    audits = Audits(home, Stopwatch())
    with pytest.raises(EngineError, match="nowhere"):
        audits.create(["nowhere/nothing"], [], PLAN)
    with pytest.raises(InvalidInput, match="No model"):
        audits.create([], [], PLAN)
    with pytest.raises(InvalidInput, match="base models"):
        audits.create(["embedded"], [], Plan(modes=(AnswerMode.TUNED,), adapters=("a",)))


def test_two_real_models_side_by_side(
    model_home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By the command line, which measures each in a process of its own."""
    monkeypatch.setenv("INHOUSE_ANSWER_TOKENS", "12")
    tiny = write_tiny_model(tmp_path / "tiny", ["What is the capital of France? It is Paris."])
    questions = tmp_path / "questions.jsonl"
    questions.write_text("\n".join(json.dumps(question) for question in QUESTIONS), "utf-8")
    command = ["audit", "embedded", str(tiny), "--questions", str(questions), "--json"]
    code = commands().run([*command, "--workspace", str(model_home.workspace.root)])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    found = json.loads(printed.out)
    first, second = found["models"]
    assert [one["model"] for one in (first, second)] == ["embedded", str(tiny)]
    assert 130e6 < first["parameters"] < 140e6
    assert 0 < second["parameters"] < 1e6
    assert (first["licence"], second["licence"]) == ("apache-2.0", "")
    assert (first["context_tokens"], second["context_tokens"]) == (8192, 1024)
    assert first["memory_mb"] > second["memory_mb"]
    for one in (first, second):
        assert one["load_s"] > 0
        assert one["first_token_s"] > 0
        assert one["tokens_per_s"] > 0
        assert one["quality"]["base"]["correct"]["n"] == 2
    assert "handled rightly" in Path(found["report"]).read_text("utf-8")
    plans = [one.plan.models for one in Evaluations(model_home).list()[:2]]
    assert plans == [(str(tiny),), ("embedded",)]
