"""Answers without writing: the sentences that answer best, in the documents' own words.

A model of 135M parameters that is handed the right sentence answers 29% of employees' questions
from it. Quoting needs no model, so it is immediate, cannot invent, and is right more often than
such a model (`docs/grounding.md`).
"""

from collections.abc import Sequence

from assistant.prompts import REFUSAL
from retrieval.evidence import EvidenceFinder
from retrieval.passages import Passage

SENTENCES = 2
"""As many as the rules of the prompt allow an answer."""


def quoted_answer(
    question: str, passages: Sequence[Passage], finder: EvidenceFinder, threshold: float = 0.0
) -> str:
    """Return the best sentences, each with its citation, or the refusal.

    Args:
        question: as a person wrote it.
        passages: in the order of their numbers, as the prompt would hold them.
        finder: judges the sentences.
        threshold: least chance, 0 to 1, that the best sentence answers; below it, refuse.
    """
    best = finder.best_sentences(question, passages, SENTENCES)
    if not best or best[0][2] < threshold:
        return REFUSAL
    return " ".join(f"{text} [{place + 1}]" for place, text, _ in best)
