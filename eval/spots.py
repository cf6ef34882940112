"""Sentences of documents that a question can be asked about: whole, clear, with a concrete fact."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eval.facts import Fact, FactKind, find_facts
from eval.texts import strip_markup, words
from retrieval.library import Chunk, Document
from retrieval.sentences import plain, split_sentences

FEWEST_WORDS, MOST_WORDS = 7, 36
ASKED = frozenset(FactKind) - {FactKind.NAME}
"""A name is right in too many ways to be checked."""

_OPENER = re.compile(
    r"^(?:(?:please\s+)?note(?:\s+that|:)|please note,?|additionally,|also,|in addition,|"
    r"furthermore,|moreover,|currently,|generally,|typically,|in general,|importantly,|"
    r"important:|tip:|e\.g\.,?|for example,|remember(?:\s+that|,))\s+",
    re.IGNORECASE,
)
_DEPENDENT = re.compile(
    r"^(?:it|its|this|that|these|those|they|their|them|he|she|his|her|such|however|but|so|then|"
    r"therefore|thus|otherwise|instead|here|there|i|my|me|and|or|both|another|others?|yes|no|"
    r"first|second|next|finally|see|read|click|example)\b",
    re.IGNORECASE,
)
_UNCLEAR = re.compile(
    r"https?:|www\.|[|{}<>=\\`…©]|\?|\b(?:I|I'm|I've|my|me)\b|\b(?:above|below|following)\b|"
    r"\b(?:step|section|chapter|figure|version|phase)\s\d",
    re.IGNORECASE,
)
_NUMBERING = re.compile(
    r"^(?:step\s+\d+\s*[.:)]?\s*[-–]?\s*|\d+(?:\.\d+)*[.):]\s+|about\s)", re.IGNORECASE
)
_VAGUE = frozenset((
    "overview", "introduction", "tips", "notes", "note", "contacts", "contact", "resources", "faq",
    "background", "purpose", "scope", "summary", "details", "process", "rules", "examples", "help",
    "general", "more", "other", "requirements", "policy", "description", "getting help",
    "getting started", "how it works", "best practices", "additional resources",
    "more information", "other tips", "terms to know", "next steps", "selection",
))  # fmt: skip
_CONTRACTIONS = (
    (re.compile(r"(?<=\w)['’]ll\b"), " will"),
    (re.compile(r"\b(you|we|they)['’]re\b", re.IGNORECASE), r"\1 are"),
    (re.compile(r"\b(you|we|they)['’]ve\b", re.IGNORECASE), r"\1 have"),
    (re.compile(r"^please\s+(?=\w)", re.IGNORECASE), ""),
    (re.compile(r",\s+please\s+(?=\w)", re.IGNORECASE), ", "),
)
_WHOLE = re.compile(r"^[A-Z0-9$].*[a-z0-9%)\]”\"'’.]\.$")


@dataclass(frozen=True)
class Spot:
    """One fact in one sentence of one document."""

    document: Document
    chunk: Chunk
    quote: str
    """The sentence as it stands in the chunk."""
    sentence: str
    """The same for reading: on one line, without markup and without an opener like 'Note that'."""
    fact: Fact
    """Its places are those in `sentence`."""
    alone: bool
    """No other fact of its kind stands in the chunk."""

    @property
    def heading(self) -> str:
        """The nearest heading that says what it is about, or the document's title."""
        last = strip_markup(self.chunk.location.split(";")[0].split(" > ")[-1])
        heading = _NUMBERING.sub("", re.sub(r"\(.*?\)", "", last).strip()).strip(" :.")
        vague = not heading or heading.endswith("?") or heading.casefold() in _VAGUE
        return " ".join((strip_markup(self.document.title) if vague else heading).split())


def spots(document: Document, chunks: Sequence[Chunk]) -> Iterator[Spot]:
    """Every fact worth asking about, in reading order; a sentence of two chunks comes once."""
    seen: set[str] = set()
    for chunk in chunks:
        kinds = [fact.kind for fact in find_facts(chunk.text)]
        for start, end in split_sentences(chunk.text):
            quote = chunk.text[start:end]
            sentence = readable(quote)
            if sentence in seen or not clear(sentence):
                continue
            seen.add(sentence)
            facts = [fact for fact in find_facts(sentence) if fact.kind in ASKED]
            if not facts or len(facts) > 2:
                continue
            for fact in facts:
                # Of two amounts in one sentence a question would have to say which.
                if sum(one.kind is fact.kind for one in facts) == 1:
                    alone = kinds.count(fact.kind) <= 1
                    yield Spot(document, chunk, quote, sentence, fact, alone)


def readable(quote: str) -> str:
    """The sentence without markup, list marker and opener."""
    text = plain(" ".join(strip_markup(quote).split()))
    for pattern, full in _CONTRACTIONS:
        text = pattern.sub(full, text)
    opened = _OPENER.sub("", text)
    return opened[:1].upper() + opened[1:]


def clear(sentence: str) -> bool:
    """Tell whether a sentence is whole and can be understood without its neighbours."""
    count = len(words(sentence))
    return (
        FEWEST_WORDS <= count <= MOST_WORDS
        and bool(_WHOLE.match(sentence))
        and not _DEPENDENT.match(sentence)
        and not _UNCLEAR.search(sentence)
        and sentence.count("(") == sentence.count(")")
        and sentence.count('"') % 2 == 0
        and sentence.count("“") == sentence.count("”")
    )
