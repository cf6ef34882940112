"""Costs and the judge's grading, apart from any evaluation."""

import math
import mmap

import pytest

from core.errors import InvalidInput
from eval.arms import Plan
from eval.cost import MemoryWatch, Rates
from eval.judge import GRADES, agreement, kappa, parse, prompt
from eval.questions import question_from_row

ROW = {"id": "a", "question": "What is the limit?", "answer": "It is 240 hours.",
       "short_answers": ["240"], "kind": "seen"}  # fmt: skip


@pytest.mark.parametrize(
    ("said", "grade"),
    [("right", "right"), (" Partly.\n", "partly"), ("WRONG", "wrong"), ("right!", None),
     ("The answer is right", None), ("", None), ("rightly", None), ("right. wrong", None)],
)  # fmt: skip
def test_only_one_of_the_three_words_is_a_grade(said: str, grade: str | None) -> None:
    assert parse(said) == grade


def test_kappa_agrees_with_a_table_worked_by_hand() -> None:
    # 20 both yes, 5 first only, 10 second only, 15 both no: 0.7 agreed, 0.5 by chance.
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10
    assert kappa([*pairs, *[(False, False)] * 15]) == pytest.approx(0.4)
    assert kappa([(True, False), (False, True)]) == -1.0
    assert kappa([]) is None
    assert kappa([(True, True)] * 3) is None


def test_failed_rows_are_neither_judged_nor_missing() -> None:
    rows = [{"arm": "rag", "ordinal": n, "scores": {"correct": 1.0} if n else {}} for n in range(3)]
    found = agreement(rows, {("rag", 1): GRADES["right"]})
    assert found == {"judged": 1, "missing": 1, "kappa": None}


def test_the_judge_sees_question_reference_and_answer_and_knows_the_unanswerable() -> None:
    shown = prompt(question_from_row(ROW, 1), "It is 20.")[1].content
    assert [part in shown for part in ("What is the limit?", "It is 240 hours.", "It is 20.")] == [
        True] * 3  # fmt: skip
    open_end = question_from_row({"id": "n", "question": "Who?", "kind": "unanswerable"}, 2)
    assert "cannot be answered" in prompt(open_end, "Anna.")[1].content


def test_costs_are_reckoned_from_the_rates_that_are_given() -> None:
    assert Rates().of(3.6) == {"kwh_per_1000": None, "price_per_1000": None}
    assert Rates(per_hour=2.0).of(3.6) == {"kwh_per_1000": None, "price_per_1000": 2.0}
    assert Rates(watts=500.0).of(3.6) == {"kwh_per_1000": 0.5, "price_per_1000": None}
    assert Rates(2.0, 500.0, 0.4).of(3.6)["price_per_1000"] == pytest.approx(2.2)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    ("name", "said"),
    [("watts", "power in watts"), ("price_per_hour", "an hour"), ("price_per_kwh", "kilowatt")],
)
def test_a_rate_that_is_none_is_refused(name: str, said: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=f"{said}.* is {value:g}. Give a number from 0 up"):
        Plan.from_json({**Plan(adapters=("a",)).as_json(), name: value})


def test_the_peak_of_memory_is_seen() -> None:
    with MemoryWatch() as before:
        pass
    with MemoryWatch() as watch:
        # New pages: what is merely allocated may be memory that was held, and freed, before.
        held = mmap.mmap(-1, 80_000_000)
        held.write(bytes(80_000_000))
    assert watch.peak_mb - before.peak_mb > 60
    held.close()
