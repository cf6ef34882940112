"""Numbers in an answer that point to passages: checked, and added where plainly missing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from assistant.brackets import Role, find_brackets
from assistant.prompts import is_refusal
from retrieval.passages import Passage

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_ANY = 9999
"""Passages of an answer that is not made yet: every number may come to point at one."""
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
    parts, end = [], 0
    for one in find_brackets(text, _ANY):
        parts += [text[end : one.start], f"({one.inside})"]
        end = one.end
    return "".join([*parts, text[end:]])


def without_citations(text: str, passages: int) -> str:
    """The answer's words only: numbers of its passages are not part of what was said."""
    parts, end = [], 0
    for one in find_brackets(text, passages):
        if one.role is Role.CITES:
            parts.append(text[end : one.start].rstrip())
            end = one.end
    return "".join([*parts, text[end:]]).strip()


def check(text: str, passages: Sequence[Passage], question: str = "") -> Checked:
    """Take numbers of no passage out of `text`; add one where a source is plain.

    Only what stands as a citation is touched (`assistant.brackets`): `argv[0]`, an interval
    [0, 10] or "schedule [12]" are the answer's own words.

    Args:
        text: the model's answer.
        passages: what the prompt held; number n is `passages[n - 1]`.
        question: its words don't count as evidence, since every passage found repeats them.
    """
    kept, cited, removed = _checked(text.strip(), len(passages))
    if cited:
        return Checked(kept, tuple(sorted(cited)), CitedBy.MODEL, removed)
    source = None if is_refusal(kept) else source_of(kept, passages, question)
    told = f"{kept} [{source}]"
    # Behind a bracket of the text's own, a number of ours would make that one look like a citation.
    if source is None or _checked(told, len(passages))[2]:
        return Checked(kept, (), CitedBy.NONE, removed)
    return Checked(told, (source,), CitedBy.ATTRIBUTED, removed)


def _checked(text: str, passages: int) -> tuple[str, set[int], tuple[int, ...]]:
    """The text with its citations written one by one, their numbers, and those taken out."""
    parts: list[str] = []
    cited: set[int] = set()
    removed: dict[int, None] = {}
    end, close_up = 0, False
    for one in find_brackets(text, passages) if passages else ():
        before = text[end : one.start]
        end = one.end
        if one.role is Role.CITES:
            cited.update(one.numbers)
            parts += ["" if close_up else before, *(f"[{number}]" for number in one.numbers)]
        else:
            removed |= dict.fromkeys(one.numbers)
            parts.append(before if one.leads else before.rstrip())
        # The space before a number that was taken out is the next one's.
        close_up = one.role is Role.STRAYS and (one.leads or (close_up and not before.strip()))
    return "".join([*parts, text[end:]]).strip(), cited, tuple(removed)


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
