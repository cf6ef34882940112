"""Scores all stored answers of an evaluation. Reads, never generates."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from assistant.citations import without_citations
from core.errors import NotFound
from eval.diagnosis import Diagnosis, diagnose
from eval.questions import HeldOutQuestion
from eval.records import Records, StoredAnswer
from eval.scoring import score
from eval.summary import mode_of
from retrieval.passages import Array

Embed = Callable[[Sequence[str]], Array]


def score_all(
    records: Records,
    questions: Sequence[HeldOutQuestion],
    arms: Sequence[dict[str, Any]],
    embed: Embed,
) -> list[dict[str, Any]]:
    """Rows for `Records.save_scores`, by question, then by arm.

    Args:
        records: where the answers are.
        questions: the evaluation's questions.
        arms: stored arms with `name`, `hash` and `question_hashes`.
        embed: the product's embedder, for semantic similarity.

    Raises:
        NotFound: an answer is not there (yet).
    """
    stored = {arm["name"]: records.answers(arm["hash"], arm["question_hashes"]) for arm in arms}
    cosine = _similarities(questions, arms, stored, embed)
    rows = []
    for ordinal, question in enumerate(questions):
        for arm in arms:
            found = stored[arm["name"]].get(arm["question_hashes"][ordinal])
            if found is None:
                raise NotFound(
                    f"'{question.id}' has no answer under '{arm['name']}' yet. "
                    "Run the evaluation again: it goes on where it stopped."
                )
            rows.append(_row(question, ordinal, arm["name"], found, cosine))
    return rows


def _row(
    question: HeldOutQuestion,
    ordinal: int,
    arm: str,
    found: StoredAnswer,
    cosine: dict[tuple[str, str], float],
) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    diagnosis = Diagnosis.FAILED
    if found.answer is not None:
        mode = mode_of(arm)
        similarity = cosine.get(_pair(question, found.answer)) if question.answerable else None
        scores = score(question, found.answer, retrieval=mode.uses_retrieval, similarity=similarity)
        diagnosis = diagnose(question, mode, scores)
    return {
        "arm": arm,
        "ordinal": ordinal,
        "answer_id": found.id,
        "scores": scores,
        "diagnosis": diagnosis.value,
    }


def _pair(question: HeldOutQuestion, answer: dict[str, Any]) -> tuple[str, str]:
    said = without_citations(answer["text"], len(answer["passages"]))
    return said or " ", question.references[0]


def _similarities(
    questions: Sequence[HeldOutQuestion],
    arms: Sequence[dict[str, Any]],
    stored: dict[str, dict[str, StoredAnswer]],
    embed: Embed,
) -> dict[tuple[str, str], float]:
    """Cosine of each answer with its reference, -1 to 1; every text is embedded once."""
    pairs = set()
    for ordinal, question in enumerate(questions):
        for arm in arms:
            found = stored[arm["name"]].get(arm["question_hashes"][ordinal])
            if question.answerable and found is not None and found.answer is not None:
                pairs.add(_pair(question, found.answer))
    texts = sorted({text for pair in pairs for text in pair})
    if not texts:
        return {}
    vectors = dict(zip(texts, embed(texts), strict=True))
    return {(a, b): round(float(np.dot(vectors[a], vectors[b])), 6) for a, b in pairs}
