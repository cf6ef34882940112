"""Numbers in an answer that point to passages: checked, and added where plainly missing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from assistant.prompts import is_refusal
from retrieval.passages import Passage

_GROUP = re.compile(r"(\s*)\[\s*(\d{1,4}(?:\s*[,;]\s*\d{1,4})*)\s*\]")
_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_ENOUGH = 0.6
"""Share of an answer's content words that one passage must hold to be its source."""
_AHEAD = 0.1
"""How far, in the same share, it must be ahead of every other passage."""
_COMMON = frozenset(
    word
    for line in (
        "a about after all also an and any are as at be because been before both but by can could",
        "did do does each for from had has have he her his how i if in into is it its may more",
        "most must no not of on one only or other our out over shall she should so some such than",
        "that the their them then there these they this those to under up us was we were what",
        "when where which while who whom why will with within would yes you your",
    )
    for word in line.split()
)


class CitedBy(StrEnum):
    """Where the numbers of an answer come from."""

    MODEL = "model"
    ATTRIBUTED = "attributed"
    """The model cited nothing; the words of the answer stand in one passage."""
    NONE = "none"


@dataclass(frozen=True)
class Checked:
    """An answer whose numbers all exist."""

    text: str
    cited: tuple[int, ...]
    by: CitedBy
    removed: tuple[int, ...] = ()
    """Numbers the model wrote that no passage has."""


def uncited(text: str) -> str:
    """Return a document's words with its own [2] as (2): in an answer it would point elsewhere."""
    return _GROUP.sub(r"\1(\2)", text)


def check(text: str, passages: Sequence[Passage], question: str = "") -> Checked:
    """Take numbers of no passage out of `text`; add one where a source is plain.

    Args:
        text: the model's answer.
        passages: what the prompt held; number n is `passages[n - 1]`.
        question: its words don't count as evidence, since every passage found repeats them.
    """
    cited: list[int] = []
    removed: list[int] = []

    def keep(match: re.Match[str]) -> str:
        numbers = [int(number) for number in re.findall(r"\d+", match[2])]
        known = [number for number in numbers if 1 <= number <= len(passages)]
        cited.extend(number for number in known if number not in cited)
        removed.extend(number for number in numbers if number not in known + removed)
        return match[1] + "".join(f"[{number}]" for number in known) if known else ""

    before, kept = "", text.strip()
    while passages and kept != before:
        # What is taken out may leave another number behind: '[0[0]]'.
        before, kept = kept, _GROUP.sub(keep, kept).strip()
    if cited:
        return Checked(kept, tuple(sorted(cited)), CitedBy.MODEL, tuple(removed))
    source = None if is_refusal(kept) else source_of(kept, passages, question)
    if source is None:
        return Checked(kept, (), CitedBy.NONE, tuple(removed))
    return Checked(f"{kept} [{source}]", (source,), CitedBy.ATTRIBUTED, tuple(removed))


def source_of(text: str, passages: Sequence[Passage], question: str = "") -> int | None:
    """Number of the one passage whose words `text` is made of, if there is one.

    The rule: of the answer's content words that the question does not hold, at least 60% stand
    in the passage, and at least 10 points more than in any other. Numbers count as words.
    """
    words = content_words(text) - content_words(question)
    if not words:
        return None
    shares = []
    for number, passage in enumerate(passages, start=1):
        held = content_words(f"{passage.title} {passage.location} {passage.text}")
        shares.append((len(words & held) / len(words), -number))
    shares.sort(reverse=True)
    if not shares or shares[0][0] < _ENOUGH:
        return None
    if len(shares) > 1 and shares[0][0] - shares[1][0] < _AHEAD:
        return None
    return -shares[0][1]


def content_words(text: str) -> frozenset[str]:
    """Words and numbers that carry meaning, folded to lower case."""
    words = (word.casefold() for word in _WORD.findall(text))
    return frozenset(word for word in words if word not in _COMMON)
