"""Causes, recommendation, check and gate on figures whose right verdict is known."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assistant.modes import AnswerMode
from core.errors import InvalidInput
from eval.arms import Plan
from eval.check import parse_floors, read_report, shortfalls
from eval.diagnosis import Diagnosis, diagnose
from eval.gate import not_worse
from eval.noninferiority import least_questions, lower_bound, upper_bound
from eval.questions import HeldOutQuestion, question_from_row
from eval.recommend import recommend
from eval.records import EvaluatedRow
from eval.scoring import same_document, score
from eval.summary import summarise

QUESTION = question_from_row(
    {"id": "a", "question": "What is the limit?", "answer": "It is 240 hours.",
     "short_answers": ["240"], "kind": "seen", "evidence_file": "pages/leave.md",
     "evidence_quote": "The **limit** is 240 hours."}, 1)  # fmt: skip
UNANSWERABLE = question_from_row({"id": "n", "question": "Who?", "kind": "unanswerable"}, 2)
RIGHT_PASSAGE = {"text": "The limit is 240 hours.", "document": "leave.md", "title": "Leave",
                 "location": "", "score": 0.9}  # fmt: skip
OTHER_PASSAGE = {**RIGHT_PASSAGE, "text": "Lunch is at noon.", "document": "lunch.md"}
PLAN = Plan(adapters=("staff",))


def answer(text: str, *passages: dict[str, Any], cut_off: bool = False) -> dict[str, Any]:
    return {"text": text, "passages": list(passages), "cited": [1] if "[1]" in text else [],
            "cut_off": cut_off, "mean_logprob": -0.2,
            "timing": {"prompt_tokens": 10, "answer_tokens": 5, "total_s": 1.0,
                       "first_token_s": 0.5, "search_s": 0.1}}  # fmt: skip


def scored(
    question: HeldOutQuestion, mode: AnswerMode, said: dict[str, Any]
) -> tuple[dict[str, Any], Diagnosis]:
    values = score(question, said, retrieval=mode.uses_retrieval, similarity=0.5)
    return values, diagnose(question, mode, values)


@pytest.mark.parametrize(
    ("mode", "said", "cause"),
    [
        ("base", answer("It is 240 hours."), Diagnosis.RIGHT),
        ("base", answer("It is 20 hours."), Diagnosis.INVENTION),
        ("base", answer("I don't know."), Diagnosis.WRONG_REFUSAL),
        ("base", answer("It is, as far as", cut_off=True), Diagnosis.CUT_OFF),
        ("rag", answer("It is, as", RIGHT_PASSAGE, cut_off=True), Diagnosis.CUT_OFF),
        ("rag", answer("It is, as", OTHER_PASSAGE, cut_off=True), Diagnosis.RETRIEVAL_MISS),
        ("tuned", answer("It is 20 hours."), Diagnosis.MEMORY_MISS),
        ("rag", answer("It is 20 hours.", RIGHT_PASSAGE), Diagnosis.READING_MISS),
        ("rag", answer("It is 20 hours.", OTHER_PASSAGE), Diagnosis.RETRIEVAL_MISS),
        ("rag", answer("I don't know.", OTHER_PASSAGE), Diagnosis.RETRIEVAL_MISS),
        ("rag", answer("I don't know.", RIGHT_PASSAGE), Diagnosis.WRONG_REFUSAL),
        ("tuned_rag", answer("It is 20.", OTHER_PASSAGE, RIGHT_PASSAGE), Diagnosis.READING_MISS),
    ],
)
def test_each_wrong_answer_has_its_cause(mode: str, said: dict[str, Any], cause: Diagnosis) -> None:
    assert scored(QUESTION, AnswerMode(mode), said)[1] is cause


def test_an_answer_to_the_unanswerable_is_an_invention() -> None:
    assert scored(UNANSWERABLE, AnswerMode.RAG, answer("Bob.", OTHER_PASSAGE))[1] == "invention"
    values, cause = scored(UNANSWERABLE, AnswerMode.RAG, answer("I don't know."))
    assert cause is Diagnosis.RIGHT
    assert values["refusal_recall"] == 1.0
    assert values["accuracy"] is values["f1"] is values["evidence_recall"] is None


def test_measures_that_are_not_defined_are_missing_not_zero() -> None:
    closed = scored(QUESTION, AnswerMode.BASE, answer("It is 240 hours."))[0]
    assert closed["groundedness"] is closed["evidence_recall"] is closed["citation_recall"] is None
    refused = scored(QUESTION, AnswerMode.RAG, answer("I don't know.", RIGHT_PASSAGE))[0]
    assert refused["groundedness"] is None
    assert refused["evidence_recall"] == refused["false_refusals"] == 1.0


def test_one_file_under_two_roots_is_the_same_document() -> None:
    assert same_document("leave.md", "pages/leave.md")
    assert same_document("handbook/pages/leave.md", "pages/leave.md")
    assert not same_document("other/leave.md", "pages/leave.md")
    assert not same_document("leave.md", "")


def rows(accuracy: dict[str, float], count: int) -> list[EvaluatedRow]:
    """Rows where each arm is right on its first share of the questions."""
    found = []
    for ordinal in range(count):
        question = question_from_row(
            {"id": str(ordinal), "question": f"Limit {ordinal}?", "short_answers": ["240"],
             "answer": "240", "kind": "seen"}, ordinal)  # fmt: skip
        for arm, share in accuracy.items():
            mode = AnswerMode(arm)
            passages = (RIGHT_PASSAGE,) if mode.uses_retrieval else ()
            said = answer("240" if ordinal < share * count else "20", *passages)
            values, cause = scored(question, mode, said)
            found.append(EvaluatedRow(ordinal, question, arm, said, "", values, cause.value))
    return found


def verdict(accuracy: dict[str, float], count: int = 200, plan: Plan = PLAN) -> Any:
    return recommend(summarise(rows(accuracy, count), list(accuracy)), plan)


def test_three_questions_are_too_few_for_a_recommendation() -> None:
    found = verdict({"base": 0.0, "rag": 1.0}, 3)
    assert (found.verdict, found.arm) == ("withheld", None)
    assert "3 questions are too few" in found.headline
    assert "44% to 100%" in " ".join(found.reasons)


def test_nothing_works_yet() -> None:
    found = verdict({"base": 0.05, "rag": 0.3, "tuned": 0.2, "tuned_rag": 0.35})
    assert found.verdict == "nothing works yet"
    assert "reading miss" in " ".join(found.reasons)


def test_the_clearly_best_mode_is_recommended_with_its_figures() -> None:
    found = verdict({"base": 0.1, "rag": 0.6, "tuned": 0.3, "tuned_rag": 0.9})
    assert found.arm == "tuned_rag"
    assert "90%" in found.headline
    assert "30.0 points better than “Documents”" in " ".join(found.reasons)


def test_the_simpler_of_two_equals_is_recommended() -> None:
    assert verdict({"base": 0.1, "rag": 0.8, "tuned": 0.8, "tuned_rag": 0.81}).arm == "rag"
    still = Plan(adapters=("staff",), documents_change=False, permissions=False)
    assert verdict({"base": 0.1, "rag": 0.8, "tuned": 0.8}, plan=still).arm == "tuned"


def test_prompting_can_be_enough() -> None:
    found = verdict({"base": 0.9, "rag": 0.9})
    assert found.arm == "base"
    assert "Prompting is enough" in " ".join(found.reasons)


def test_a_mode_made_worse_is_detected() -> None:
    pair = summarise(rows({"rag": 0.8, "tuned_rag": 0.6}, 100), ["rag", "tuned_rag"])["pairs"][0]
    tested = pair["measures"]["correct"]
    assert tested["shown"]
    assert (tested["wins"], tested["losses"]) == (20, 0)
    assert tested["difference"]["value"] == pytest.approx(0.2)


def test_a_difference_below_what_the_set_shows_is_not_called_one() -> None:
    pair = summarise(rows({"rag": 0.8, "tuned_rag": 0.78}, 100), ["rag", "tuned_rag"])["pairs"][0]
    assert not pair["measures"]["correct"]["shown"]


def test_floors_and_baseline() -> None:
    modes = {"rag": {"accuracy": {"value": 0.55}}, "base": {"accuracy": {"value": None}}}
    assert shortfalls(modes, parse_floors(["rag=0.5"]), None, 0.02) == []
    assert "below the floor 0.600" in shortfalls(modes, {"rag": 0.6}, None, 0.02)[0]
    assert "not measured" in shortfalls(modes, {"tuned": 0.1}, None, 0.02)[0]
    before = {"rag": {"accuracy": {"value": 0.6}}}
    assert "below the baseline 0.600" in shortfalls(modes, {}, before, 0.02)[0]
    assert shortfalls(modes, {}, before, 0.1) == []
    with pytest.raises(InvalidInput, match="MODE=SHARE"):
        parse_floors(["rag"])


def test_a_baseline_that_is_no_report_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    path.write_text(json.dumps([1]), "utf-8")
    with pytest.raises(InvalidInput, match="not a report"):
        read_report(path)


@pytest.mark.parametrize(
    ("mine", "theirs", "count", "passes"),
    [(0.8, 0.8, 200, True), (0.9, 0.8, 200, True), (0.6, 0.8, 200, False),
     (0.78, 0.8, 150, False), (0.8, 0.8, 125, True)],
)  # fmt: skip
def test_the_gate_lets_through_what_is_shown_not_to_be_worse(
    mine: float, theirs: float, count: int, passes: bool
) -> None:
    passed, finding = not_worse(
        rows({"rag": mine}, count), rows({"rag": theirs}, count), 0.03, "the present default"
    )
    assert passed is passes
    assert f"on {count} questions" in finding


@pytest.mark.parametrize(("count", "margin"), [(124, 0.03), (72, 0.05), (29, 0.5), (3, 0.03)])
def test_the_gate_stays_closed_where_too_few_questions_cannot_tell(
    count: int, margin: float
) -> None:
    same = rows({"rag": 1.0}, count)
    passed, finding = not_worse(same, same, margin, "the present default")
    assert not passed
    assert "too few" in finding


def test_two_wordings_of_a_fact_do_not_open_the_gate_twice() -> None:
    def paired(found: list[EvaluatedRow]) -> list[EvaluatedRow]:
        return [
            replace(row, question=replace(row.question, fact_id=str(row.ordinal // 2)))
            for row in found
        ]

    same = paired(rows({"rag": 1.0}, 200))
    assert not_worse(same, same, 0.03, "it")[0] is False
    enough = paired(rows({"rag": 1.0}, 250))
    assert not_worse(enough, enough, 0.03, "it")[0] is True


def test_failed_questions_are_named_and_not_counted() -> None:
    good = rows({"rag": 1.0}, 200)
    broken = [replace(row, error="out of memory") if row.ordinal < 5 else row for row in good]
    passed, finding = not_worse(broken, good, 0.03, "it")
    assert passed
    assert "on 195 questions" in finding
    assert "5 questions failed" in finding


def test_the_score_interval_is_that_of_the_literature() -> None:
    # Without a discordant pair it is z^2 / (n + z^2) wide to each side (Tango 1998).
    assert lower_bound(0, 0, 100) == pytest.approx(-(1.959964**2) / (100 + 1.959964**2), abs=1e-6)
    assert upper_bound(0, 0, 100) == -lower_bound(0, 0, 100)
    assert [least_questions(margin) for margin in (0.03, 0.05)] == [125, 73]
    assert lower_bound(100, 0, 100) > 0.9
    assert lower_bound(0, 100, 100) == pytest.approx(-1.0)


@pytest.mark.parametrize(("lost", "count"), [(0.05, 120), (0.12, 285)])
def test_an_adapter_that_is_worse_by_the_margin_is_let_through_one_time_in_forty(
    lost: float, count: int
) -> None:
    """A loss of exactly the margin passes in 2.5% of simulated evaluations, no more."""
    chance = np.random.default_rng(3)
    won = lost - 0.05
    counts = chance.multinomial(count, [won, lost, 1 - won - lost], 4000)
    passed = np.mean([lower_bound(w, x, count) > -0.05 for w, x, _ in counts])
    assert passed < 0.025 + 3 * (0.025 * 0.975 / 4000) ** 0.5


def test_an_effect_is_not_claimed_where_all_differences_are_equal() -> None:
    told = [replace(row, scores={**row.scores, "f1": 0.1 * (1 + (row.arm == "rag"))})
            for row in rows({"base": 0.0, "rag": 1.0}, 7)]  # fmt: skip
    (pair,) = summarise(told, ["base", "rag"])["pairs"]
    assert pair["measures"]["f1"]["difference"]["value"] == pytest.approx(-0.1)
    assert pair["measures"]["f1"]["effect"] is None
