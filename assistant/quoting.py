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
from retrieval.passages import Passage, Quoter

NAME = "quotation"
"""What stands in provenance and configurations in place of a reader's name."""
SENTENCES = 2
"""As many as the rules of the prompt allow an answer."""


def quotes_alone(settings: Settings, quoter: Quoter | None) -> bool:
    """Tell whether the mode `rag` is answered by quoting; else a language model answers there.

    Raises:
        SettingsError: the settings want quotations, and nothing judges sentences.
    """
    if settings.rag_reader != "quote":
        return False
    if quoter is not None:
        return True
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
    return quotation(quoter.best_sentences(question, passages, SENTENCES)) or REFUSAL


def quotation(sentences: Sequence[tuple[int, str]]) -> str:
    """Sentences, each with the number of its passage; its place is that number less one."""
    return " ".join(f"{uncited(text)} [{place + 1}]" for place, text in sentences)
