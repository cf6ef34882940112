"""Answers without writing: the sentences that answer best, in the documents' own words.

A model of 135M parameters that is handed the right sentence answers 29% of employees' questions
from it. Quoting needs no model, so it is immediate, cannot invent, and is right more often than
such a model (`docs/grounding.md`).
"""

from collections.abc import Sequence

from assistant.citations import uncited
from assistant.prompts import REFUSAL
from core.errors import SettingsError
from core.settings import Settings
from retrieval.passages import Passage, Quoter, Retriever

NAME = "quotation"
"""What stands in provenance and configurations in place of a reader's name."""
SENTENCES = 2
"""As many as the rules of the prompt allow an answer."""


def serving_quoter(settings: Settings, retriever: Retriever) -> Quoter | None:
    """Return what quotes in the mode `rag`; None: a language model answers there.

    Raises:
        SettingsError: the settings want quotations, and no evidence finder is on.
    """
    if settings.rag_reader != "quote":
        return None
    if isinstance(retriever, Quoter):
        return retriever
    raise SettingsError(
        "INHOUSE_RAG_READER=quote, but INHOUSE_EVIDENCE_FINDER=off: nothing judges sentences. "
        "Set INHOUSE_EVIDENCE_FINDER=builtin, or INHOUSE_RAG_READER=off."
    )


def quoted_answer(question: str, passages: Sequence[Passage], quoter: Quoter) -> str:
    """Return the best sentences, each with its citation, or the refusal.

    Args:
        question: as a person wrote it.
        passages: in the order of their numbers, as the prompt would hold them.
        quoter: judges the sentences.
    """
    best = quoter.best_sentences(question, passages, SENTENCES)
    return " ".join(f"{uncited(text)} [{place + 1}]" for place, text in best) or REFUSAL
