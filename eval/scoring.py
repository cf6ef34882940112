"""The measures of one answer to one question, and the list of all measures.

A measure that is not defined for a row is None there. So every table is the same fold: take the
values that are there, count them, average them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assistant.citations import without_citations
from assistant.prompts import is_refusal
from eval import metrics
from eval.grading import contains_phrase, grade
from eval.questions import HeldOutQuestion


@dataclass(frozen=True)
class Measure:
    """One line of the table."""

    key: str
    label: str
    meaning: str
    proportion: bool = False
    """Each row is 0 or 1: Wilson interval; else a bootstrap over facts."""
    lower_is_better: bool = False
    unit: str = "share"
    """'share' (0 to 1), 'points' (-1 to 1), 'tokens' or 's'."""


MEASURES = (
    Measure("accuracy", "Accuracy", "Answerable questions answered with a short answer.", True),
    Measure("correct", "Right or rightly refused", "Questions handled as they should be.", True),
    Measure("crag", "CRAG score", "Right +1, refused 0, wrong -1; mean.", unit="points"),
    Measure("refusal_recall", "Refused when unanswerable", "Unanswerable ones refused.", True),
    Measure("false_refusals", "False refusals", "Answerable ones refused.", True, True),
    Measure("exact_match", "Exact match", "Equal to a reference after SQuAD normalisation.", True),
    Measure("precision", "Token precision", "Share of the answer's tokens that are right."),
    Measure("recall", "Token recall", "Share of the reference's tokens that are there."),
    Measure("f1", "Token F1", "Harmonic mean of both."),
    Measure("rouge_l", "ROUGE-L", "Longest common subsequence with the full answer."),
    Measure("chrf", "chrF", "Character n-grams shared with the full answer."),
    Measure("similarity", "Semantic similarity", "Cosine with the full answer."),
    Measure("evidence_recall", "Evidence found", "Evidence is in the prompt.", True),
    Measure("recall_at_1", "Evidence first", "The first passage holds it.", True),
    Measure("recall_at_3", "Evidence in top 3", "One of the first three holds it.", True),
    Measure("mrr", "MRR", "Mean reciprocal rank of the evidence."),
    Measure("ndcg", "nDCG", "Discounted gain of the evidence."),
    Measure("groundedness", "Groundedness", "Share of content words found in the passages."),
    Measure("unsupported", "Unsupported claims", "Answers with a number or name that no passage "
            "has.", True, True),
    Measure("citation_precision", "Citation precision", "Cited passages that hold the evidence."),
    Measure("citation_recall", "Citation recall", "Evidence in the prompt that was cited.", True),
    Measure("judge", "LLM judge", "Right 1, partly 0.5, wrong 0, as a language model grades; not "
            "validated, never part of the verdict."),
    Measure("cut_off", "Cut off", "Answers that hit the length limit.", True, True),
    Measure("prompt_tokens", "Prompt tokens", "Mean length of the prompt.", False, True, "tokens"),
    Measure("answer_tokens", "Answer tokens", "Mean length of the answer.", False, True, "tokens"),
)  # fmt: skip

COMPARED = ("accuracy", "correct", "crag", "f1", "rouge_l", "similarity")
"""Measures that every pair of arms is tested on."""


def relevant_passages(question: HeldOutQuestion, passages: Sequence[dict[str, Any]]) -> list[bool]:
    """Tell of each passage whether it holds the question's evidence.

    Without an evidence quote, a passage counts that holds a short answer.
    """
    if not question.evidence_quote:
        return [mentions_answer(question, p["text"]) for p in passages]
    return [
        metrics.holds_quote(
            p["text"],
            question.evidence_quote,
            same_document=same_document(p["document"], question.evidence_file),
        )
        for p in passages
    ]


def same_document(path: str, evidence_file: str) -> bool:
    """Tell whether two relative paths name one file although they start at other folders."""
    a, b = path.strip("/").split("/"), evidence_file.strip("/").split("/")
    shorter = min(len(a), len(b))
    return bool(evidence_file) and a[-shorter:] == b[-shorter:]


def score(
    question: HeldOutQuestion, answer: dict[str, Any], *, retrieval: bool, similarity: float | None
) -> dict[str, Any]:
    """All measures of a finished answer, by key; None where one is not defined.

    Args:
        question: what was asked.
        answer: a stored answer: text, passages, cited, timing, cut_off, confidence.
        retrieval: the arm searched documents.
        similarity: cosine of answer and reference, -1 to 1, computed in batches by the caller.
    """
    text = without_citations(answer["text"], len(answer["passages"]))
    refused = is_refusal(answer["text"])
    graded = grade(text, question.short_answers, question.question)
    right = question.answerable and graded.right
    values: dict[str, Any] = {
        "correct": float(right if question.answerable else refused),
        "crag": metrics.crag_point(right, refused, question.answerable),
        "refused": refused,
        "reason": graded.reason if question.answerable else "",
        "accuracy": float(right) if question.answerable else None,
        "refusal_recall": None if question.answerable else float(refused),
        "false_refusals": float(refused and not right) if question.answerable else None,
        "cut_off": float(answer["cut_off"]),
        "prompt_tokens": answer["timing"]["prompt_tokens"],
        "answer_tokens": answer["timing"]["answer_tokens"],
        "confidence": _confidence(answer),
    }
    values |= _against_reference(question, text, similarity)
    values |= _against_passages(question, answer, retrieval and not refused, retrieval)
    return values


def _against_reference(
    question: HeldOutQuestion, text: str, similarity: float | None
) -> dict[str, float | None]:
    if not question.answerable:
        return dict.fromkeys(
            ("exact_match", "precision", "recall", "f1", "rouge_l", "chrf", "similarity")
        )
    overlap = metrics.token_overlap(text, question.references)
    full = question.references[0]
    return {
        "exact_match": metrics.exact_match(text, question.references),
        "precision": overlap.precision,
        "recall": overlap.recall,
        "f1": overlap.f1,
        "rouge_l": metrics.rouge_l(text, full),
        "chrf": metrics.chrf(text, full),
        "similarity": similarity,
    }


def _against_passages(
    question: HeldOutQuestion, answer: dict[str, Any], claims: bool, retrieval: bool
) -> dict[str, Any]:
    passages = answer["passages"]
    values: dict[str, Any] = dict.fromkeys(
        ("evidence_recall", "recall_at_1", "recall_at_3", "mrr", "ndcg", "groundedness",
         "unsupported", "citation_precision", "citation_recall")
    )  # fmt: skip
    values["relevant"] = relevant = relevant_passages(question, passages)
    values["unsupported_claims"] = []
    if retrieval and question.answerable:
        values["evidence_recall"] = metrics.recall_at(relevant, len(relevant))
        values["recall_at_1"] = metrics.recall_at(relevant, 1)
        values["recall_at_3"] = metrics.recall_at(relevant, 3)
        values["mrr"] = metrics.reciprocal_rank(relevant)
        values["ndcg"] = metrics.ndcg(relevant)
    if not claims:
        return values
    text = without_citations(answer["text"], len(answer["passages"]))
    sources = [f"{p['title']} {p['location']} {p['text']}" for p in passages]
    values["groundedness"] = metrics.groundedness(text, sources)
    missing = metrics.unsupported(text, [question.question, *sources])
    values["unsupported_claims"], values["unsupported"] = missing, float(bool(missing))
    if question.answerable:
        values["citation_precision"] = metrics.citation_precision(answer["cited"], relevant)
        values["citation_recall"] = metrics.citation_recall(answer["cited"], relevant)
    return values


def _confidence(answer: dict[str, Any]) -> float | None:
    """Geometric mean probability of the answer's tokens, where the engine knows it."""
    logprob = answer.get("mean_logprob")
    return None if logprob is None else math.exp(min(0.0, logprob))


def mentions_answer(question: HeldOutQuestion, text: str) -> bool:
    """Tell whether a text holds any short answer: marks it in the report."""
    return any(contains_phrase(text, answer) for answer in question.short_answers)
