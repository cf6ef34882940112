"""Why an answer is wrong. One cause a row, by rules anybody can check by hand."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from assistant.modes import AnswerMode
from eval.questions import HeldOutQuestion, Kind


class Diagnosis(StrEnum):
    """`RIGHT`, `FAILED`, or one of six causes."""

    RIGHT = "right"
    FAILED = "failed"
    CUT_OFF = "cut-off"
    WRONG_REFUSAL = "wrong refusal"
    RETRIEVAL_MISS = "retrieval miss"
    READING_MISS = "reading miss"
    MEMORY_MISS = "memory miss"
    INVENTION = "invention"

    @property
    def meaning(self) -> str:
        """One sentence for people."""
        return _MEANINGS[self]


_MEANINGS = {
    Diagnosis.RIGHT: "Right, or rightly refused.",
    Diagnosis.FAILED: "The engine gave no answer; excluded from every figure.",
    Diagnosis.CUT_OFF: "The answer reached the length limit before it was right.",
    Diagnosis.WRONG_REFUSAL: "Refused although the answer could be had.",
    Diagnosis.RETRIEVAL_MISS: "The evidence was not among the passages.",
    Diagnosis.READING_MISS: "The evidence was among the passages, the answer is wrong.",
    Diagnosis.MEMORY_MISS: "A fact that was trained on was not recalled.",
    Diagnosis.INVENTION: "Something was made up: nothing known answers the question.",
}

CAUSES = tuple(d for d in Diagnosis if d not in (Diagnosis.RIGHT, Diagnosis.FAILED))


def diagnose(question: HeldOutQuestion, mode: AnswerMode, scores: Mapping[str, Any]) -> Diagnosis:
    """Name the cause of a wrong answer.

    The order of the rules: an answer to the unanswerable is an invention; with documents, missing
    evidence comes before everything that follows from it (a refusal or rambling without evidence is
    the retriever's fault, not the model's); then the length limit, refusal, reading. Without
    documents a trained fact is a memory miss, anything else was made up.
    """
    rules = (
        (bool(scores["correct"]), Diagnosis.RIGHT),
        (not question.answerable, Diagnosis.INVENTION),
        (mode.uses_retrieval and not any(scores["relevant"]), Diagnosis.RETRIEVAL_MISS),
        (bool(scores["cut_off"]) and not scores["refused"], Diagnosis.CUT_OFF),
        (bool(scores["refused"]), Diagnosis.WRONG_REFUSAL),
        (mode.uses_retrieval, Diagnosis.READING_MISS),
        (mode.uses_adapter and question.kind is Kind.SEEN, Diagnosis.MEMORY_MISS),
    )
    return next((cause for holds, cause in rules if holds), Diagnosis.INVENTION)
