"""Sentences of a chunk, as places in its text."""

import re
from collections.abc import Iterator
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]
"""Start and end of a piece of text, end excluded."""

LONGEST_SENTENCE = 480
"""In characters: what has no sentence end for longer is cut between words."""
WRAPPED_FROM = 50
"""A line shorter than this was not ended by wrapping: a heading, a list item, a cell."""

WORDS_OF_A_SENTENCE = 7
"""A shorter line without a full stop is a heading, a label or a cell."""

MARKER = re.compile(r"^\s*(?:[-*+•>]|#{1,6}|\d{1,3}[.)])\s+")
ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s|\s*[|#>]")
END = re.compile(r"(?<![.!?])[.!?]++[\"')\]”’*_`]*+(?=\s++[\"'(\[“‘*_`]*+[A-Z0-9$£€])|\.\s*$")
ENDED = re.compile(r"[.!?][\"')\]”’]*\s*$")
NO_END = re.compile(
    r"(?:^|[\s(])(?:e\.g|i\.e|etc|vs|Mr|Mrs|Ms|Dr|No|St|Inc|approx|[A-Z])\.$|^\d{1,3}\.$"
)
LONGEST_NO_END = 16
"""In characters, more than any of these has."""
WORD = re.compile(r"\w")
EMPHASIS = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)")


def split_sentences(text: str) -> list[Span]:
    """Cut `text` into sentences, list items, table rows and lines that stand alone.

    Args:
        text: a chunk: paragraphs, lists and tables, markup as loaded.

    Returns:
        Spans in reading order, without overlap; whatever has a letter or digit is in one.
    """
    return [
        span
        for start, end in _units(text)
        for sentence in _sentences(text, start, end)
        for span in _short_enough(text, *sentence)
        if WORD.search(text, *span)
    ]


def plain(text: str) -> str:
    """One sentence for a prompt: on one line, without list marker and emphasis."""
    return " ".join(EMPHASIS.sub("", MARKER.sub("", text, count=1)).split()) if text else ""


def leads_in(sentence: str) -> bool:
    """Tell whether a sentence says nothing by itself: a heading, or what a colon ends."""
    bare = len(sentence.split()) < WORDS_OF_A_SENTENCE and not ENDED.search(sentence)
    return bare or sentence.rstrip().endswith(":")


def _units(text: str) -> Iterator[Span]:
    """Paragraphs' parts: wrapped lines together, everything else line by line."""
    start = at = 0
    for line in text.splitlines(keepends=True):
        end = at + len(line)
        following = text[end : end + 200]
        wrapped = (
            len(line.rstrip()) >= WRAPPED_FROM
            and "|" not in line
            and following.strip(" \t")[:1] not in ("", "\n", "\r")
            and not ITEM.match(following)
        )
        if not wrapped:
            yield start, end
            start = end
        at = end
    if start < len(text):
        yield start, len(text)


def _sentences(text: str, start: int, end: int) -> Iterator[Span]:
    begin = start
    for found in END.finditer(text, start, end):
        stop = found.end()
        head = text[max(begin, found.start() - LONGEST_NO_END) : found.start() + 1]
        if NO_END.search(head.lstrip("-*+•> \t")):
            continue
        yield _trimmed(text, begin, stop)
        begin = stop
    if begin < end:
        yield _trimmed(text, begin, end)


def _short_enough(text: str, start: int, end: int) -> Iterator[Span]:
    while end - start > LONGEST_SENTENCE:
        cut = text.rfind(" ", start + LONGEST_SENTENCE // 2, start + LONGEST_SENTENCE)
        cut = cut if cut > 0 else start + LONGEST_SENTENCE
        yield _trimmed(text, start, cut)
        start = cut
    yield _trimmed(text, start, end)


def _trimmed(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
