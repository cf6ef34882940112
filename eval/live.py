"""How an evaluation stands while it runs: counted from what little of each answer that takes."""

from typing import Any

from assistant.prompts import is_refusal
from eval.metrics import is_right
from eval.questions import HeldOutQuestion
from eval.records import Records
from eval.statistics import wilson
from eval.stored import Evaluation


def live_figures(records: Records, evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """By arm: rows answered, failed, and rightly handled. Cheap enough to poll every second."""
    figures = {}
    for arm in evaluation.arms:
        said = records.said(arm["hash"], arm["question_hashes"])
        right, answered, failed = 0, 0, 0
        for question, own in zip(evaluation.questions, arm["question_hashes"], strict=True):
            text, error = said.get(own, (None, ""))
            answered += own in said and not error
            failed += bool(error)
            right += text is not None and _handled(question, text)
        figures[arm["name"]] = {
            "answered": answered,
            "failed": failed,
            "total": len(evaluation.questions),
            "correct": wilson(right, answered).as_json(),
        }
    return figures


def _handled(question: HeldOutQuestion, text: str) -> bool:
    return is_right(text, question.short_answers) if question.answerable else is_refusal(text)
