"""How deep the evidence lies: recall of the search itself, beyond the passages of a prompt.

What a search returned is stored like an answer, so scoring again searches nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from core.permissions import OPERATOR
from eval import metrics
from eval.arms import digest
from eval.questions import HeldOutQuestion
from eval.records import Records
from eval.scoring import relevant_passages
from eval.statistics import wilson
from retrieval.passages import Retriever

DEPTHS = (1, 3, 5, 10, 20)
_MOST_AT_ONCE = 50
"""Searches committed together."""


def configuration(retriever: Retriever, arm: Mapping[str, Any]) -> dict[str, Any]:
    """What a search depends on; `arm` is the configuration of an arm that searches."""
    return {
        "search_depth": max(DEPTHS),
        "index_version": retriever.version,
        "embedder": arm.get("embedder"),
    }


def search_deep(
    records: Records,
    retriever: Retriever,
    own: Mapping[str, Any],
    questions: Sequence[HeldOutQuestion],
) -> None:
    """Search for every answerable question that this configuration has not searched for yet."""
    key = digest(dict(own))
    asked = {_hash(question): question for question in questions if question.answerable}
    stored = records.answers(key, list(asked))
    missing = [name for name in asked if name not in stored]
    for start in range(0, len(missing), _MOST_AT_ONCE):
        part = missing[start : start + _MOST_AT_ONCE]
        records.save(key, {name: _found(retriever, asked[name]) for name in part})


def recall(
    records: Records, own: Mapping[str, Any], questions: Sequence[HeldOutQuestion]
) -> dict[str, dict[str, Any]]:
    """Share of questions whose evidence is among the first k passages, with Wilson's interval.

    Returns:
        By kind of question, and 'all': {'1': estimate, '3': ..., '20': ...}.
    """
    answerable = [question for question in questions if question.answerable]
    stored = records.answers(digest(dict(own)), [_hash(question) for question in answerable])
    slices: dict[str, list[list[bool]]] = {"all": []}
    for question in answerable:
        found = stored.get(_hash(question))
        if found is not None and found.answer is not None:
            for name in ("all", question.kind.value):
                slices.setdefault(name, []).append(found.answer["relevant"])
    return {
        name: {
            str(k): wilson(
                sum(metrics.recall_at(one, k) > 0 for one in flags), len(flags)
            ).as_json()
            for k in DEPTHS
        }
        for name, flags in slices.items()
    }


def _hash(question: HeldOutQuestion) -> str:
    evidence = [question.evidence_file, question.evidence_quote, list(question.short_answers)]
    return digest([question.question, evidence])


def _found(retriever: Retriever, question: HeldOutQuestion) -> dict[str, Any]:
    passages = retriever.search(question.question, limit=max(DEPTHS), reader=OPERATOR)
    shown = [dict(passage.__dict__) for passage in passages]
    return {
        "relevant": relevant_passages(question, shown),
        "chunks": [passage.chunk_id for passage in passages],
    }
