"""Tells whether a passage holds what a fact rests on."""

import re
import unicodedata

from retrieval.passages import Passage
from training.dataset import Fact
from training.overlap import same_document

_ENOUGH = 0.6
"""Share of a quote's word triples that a passage must hold; chunks may cut a quote in two."""
_MARKUP = re.compile(r"\]\([^)]*\)|\{[^}]*\}|<[^>]+>")
_MARKS = re.compile(r"[\W_]+")
_WORDS = 3


def holds_evidence(passage: Passage, fact: Fact) -> bool:
    """Tell whether the answer can be read in `passage`.

    By the quote where the fact has one, else by a short answer, in the named file where it
    names one. A fact with none of these cannot be recognised anywhere.
    """
    if fact.evidence_file and not same_document(passage.document, fact.evidence_file):
        return False
    if fact.evidence_quote:
        return _overlap(fact.evidence_quote, passage.text) >= _ENOUGH
    return holds_answer(passage, fact)


def holds_answer(passage: Passage, fact: Fact) -> bool:
    """Tell whether a short answer, or the whole answer without any, stands in `passage`."""
    text = f" {_plain(passage.text)} "
    wanted = fact.short_answers or (fact.answer,)
    return any(words and f" {words} " in text for words in map(_plain, wanted))


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", _MARKUP.sub(" ", text)).casefold()
    return _MARKS.sub(" ", folded).strip()


def _overlap(quote: str, text: str) -> float:
    wanted, held = _shingles(_plain(quote)), _shingles(_plain(text))
    return len(wanted & held) / len(wanted) if wanted else 0.0


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    size = min(_WORDS, len(words))
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)} - {()}
