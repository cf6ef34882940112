"""Concrete facts in a sentence: what a short answer can be checked against.

Fixed patterns for English: amounts of money, shares, times, dates, durations, counts, addresses
and channels, names. The same text always gives the same facts.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class FactKind(StrEnum):
    """What sort of thing a short answer is."""

    MONEY = "money"
    SHARE = "share"
    TIME = "time"
    DATE = "date"
    DURATION = "duration"
    COUNT = "count"
    ADDRESS = "address"
    CHANNEL = "channel"
    NAME = "name"


@dataclass(frozen=True)
class Fact:
    """Characters `start` to `end` of a sentence."""

    kind: FactKind
    start: int
    end: int
    text: str
    unit: str = ""
    """What is counted: 'days', 'people'; only of durations and counts."""


_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
)
_WORDS = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    r"twenty|thirty|forty|fifty|sixty|ninety|hundred)"
)
_ONE = rf"(?:\d[\d,]*(?:\.\d+)?|{_WORDS}(?:-{_WORDS})?)"
_NUMBER = rf"{_ONE}(?:(?:\s?[-–]\s?|\s(?:to|or)\s){_ONE})?"
_PERIOD = r"(?:(?:business|calendar|working|work|full|consecutive)\s)?"
_SPAN = r"(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)"
_NO_NOUN = (
    r"(?!(?:and|or|to|of|in|on|at|by|for|is|are|was|the|a|an|per|with|as|from|that|if|when|more|"
    r"less|other|such|am|pm|percent|million|billion|thousand|(?:[a-z]+\s)?(?:things|ways|parts|types|"
    r"kinds|reasons|places|examples|levels|aspects|points|areas|groups|options|ones|others|this|"
    r"focus|parties|classes|its|was|has))\b)"
)

_RULES: tuple[tuple[FactKind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (FactKind.ADDRESS, r"[A-Za-z0-9][\w.+-]*@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}"),
        (FactKind.CHANNEL, r"(?<![\w/&])#[a-z][\w-]{2,}"),
        (FactKind.MONEY, r"[$£€]\s?\d[\d,]*(?:\.\d+)?(?:\s?(?:million|billion|thousand|k)\b)?"
                         r"|\b\d[\d,]*(?:\.\d+)?\s(?:dollars|euros|pounds)\b"),
        (FactKind.SHARE, rf"\b{_NUMBER}\s?(?:%|percent\b)"),
        (FactKind.TIME, r"\b\d{1,2}(?::\d{2})?\s?(?:[ap]\.m\.|[ap]m\b|[AP]M\b)"
                        r"(?:\s(?:ET|PT|CT|MT|UTC|Eastern|Pacific)\b)?|\b\d{1,2}:\d{2}\b"),
        (FactKind.DATE, rf"\b{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s\d{{4}})?\b"
                        rf"|\b\d{{1,2}}\s{_MONTH}(?:\s\d{{4}})?\b|\b{_MONTH}\s\d{{4}}\b"
                        r"|\b(?:19|20)\d{2}\b(?![-–]\d)"),
        (FactKind.DURATION, rf"(?<![\w.-])(?i:{_NUMBER})[\s-](?P<unit>{_PERIOD}{_SPAN})\b"),
        (FactKind.COUNT, rf"(?<![\w.-])(?i:{_NUMBER})\s{_NO_NOUN}"
                         r"(?P<unit>(?:[a-z]+\s)?[a-z]{3,}s|people)\b"),
        (FactKind.NAME, r"(?<=[a-z,]\s)[A-Z][\w&'’.-]*[\w]"
                        r"(?:\s(?:of\s|the\s|and\s)?[A-Z][\w&'’-]*\w)+"),
    )
)  # fmt: skip


def find_facts(sentence: str) -> list[Fact]:
    """Facts in order of their place, without overlaps; earlier kinds win."""
    found: list[Fact] = []
    for kind, pattern in _RULES:
        for match in pattern.finditer(sentence):
            start, end = match.span()
            if all(end <= other.start or other.end <= start for other in found):
                unit = match.groupdict().get("unit") or ""
                found.append(Fact(kind, start, end, match.group(), unit))
    return sorted(found, key=lambda fact: fact.start)
