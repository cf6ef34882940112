"""Several real engines in one evaluation, of which one has no room for some of the questions."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from assistant.modes import AnswerMode
from core.home import Home, open_home
from eval.arms import Plan
from eval.evaluations import Evaluations, QuestionSets, RowFilter
from tests.integration.tiny_model import write_tiny_model
from ui.evaluation_view import answers_html

SHORT = [
    {"id": f"s{n}", "question": f"When does office {n} open?", "answer": f"At {n} o'clock.",
     "short_answers": [f"{n} o'clock"], "kind": "unseen"} for n in range(4)
]  # fmt: skip
STORY = "A long story of how the question came up, told in many words that add nothing. "
LONG = [
    {"id": f"l{n}", "question": STORY * 20 + f"When does canteen {n} open?",
     "answer": f"At {n} o'clock.", "short_answers": [f"{n} o'clock"], "kind": "unseen"}
    for n in range(3)
]  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """A finished evaluation of two engines."""

    evaluations: Evaluations
    number: int
    roomy: str
    narrow: str


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    folder = tmp_path_factory.mktemp("engines")
    texts = [row["question"] for row in SHORT + LONG]
    models = tuple(
        str(write_tiny_model(folder / name, [str(text) for text in texts], seed, context))
        for seed, (name, context) in enumerate([("roomy", 2048), ("narrow", 384)])
    )
    home: Home = open_home(workspace=folder / "workspace", answer_tokens=8)
    evaluations = Evaluations(home)
    plan = Plan(modes=(AnswerMode.BASE,), models=models, latency_sample=3)
    number = evaluations.create([QuestionSets(home).add(SHORT + LONG, "hours").id], plan)
    evaluations.run(number)
    yield Measured(evaluations, number, *(f"base#{model}" for model in models))
    home.database.close()


def test_each_engine_is_a_column_and_answers_what_it_has_room_for(measured: Measured) -> None:
    summary = measured.evaluations.summary(measured.number)
    assert list(summary["modes"]) == [measured.roomy, measured.narrow]
    answered = {arm: table["accuracy"]["n"] for arm, table in summary["modes"].items()}
    assert answered == {measured.roomy: 7, measured.narrow: 4}
    names = {arm: one["model"] for arm, one in summary["reproduce"]["configurations"].items()}
    assert names[measured.roomy] != names[measured.narrow]
    (pair,) = summary["pairs"]
    assert pair["measures"]["correct"]["difference"]["n"] == 4


def test_rows_without_room_are_failed_excluded_and_counted_in_the_headline(
    measured: Measured,
) -> None:
    evaluations, number = measured.evaluations, measured.number
    failed = evaluations.rows(number, RowFilter(diagnosis="failed"))
    assert [(row.arm, row.question.id) for row in failed] == [
        (measured.narrow, f"l{n}") for n in range(3)
    ]
    assert all(row.error.startswith("EngineError: The prompt has ") for row in failed)
    assert all("takes 384 together" in row.error and row.answer is None for row in failed)
    assert evaluations.summary(number)["counts"]["failed"] == 3
    for kind in ("md", "html", "json"):
        report = evaluations.report_path(number, kind).read_text("utf-8")
        assert "14 answers; 3 rows failed and are excluded." in report, kind
    assert "takes 384 together" in str(answers_html(failed, len(failed)))
    live = evaluations.live(number)[measured.narrow]
    assert (live["answered"], live["failed"]) == (4, 3)


def test_another_evaluation_tries_what_failed_again_and_nothing_else(measured: Measured) -> None:
    evaluations, first = measured.evaluations, measured.number
    plan = evaluations.get(first).plan
    sets = [int(one["id"]) for one in evaluations.get(first).question_sets]
    again = evaluations.create(sets, plan)
    evaluations.run(again)
    before, after = evaluations.summary(first), evaluations.summary(again)
    assert after["modes"] == before["modes"]
    assert after["counts"]["failed"] == 3
    assert len(Path(evaluations.report_path(again)).read_bytes()) > 1000
