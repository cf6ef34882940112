"""The first look at an answer's text: markup off, then tokens as they stand, from left to right.

Every pattern looks at a character a bounded number of times, so the time is that of the length.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from core.wordings import UNSPACED
from eval import quantities as q
from eval.texts import TYPOGRAPHY, strip_markup


class Kind(StrEnum):
    """What a token is; tokens of different kinds are never the same thing, but see `same`."""

    WORD = "word"
    NUMBER = "number"
    RANGE = "range"
    ORDINAL = "ordinal"
    DAY = "day"
    TIME = "time"
    CODE = "code"
    """Letters and digits in one, telephone numbers, versions: compared as they are written."""
    DASH = "dash"


@dataclass(frozen=True)
class Token:
    """One thing that was said."""

    kind: Kind
    text: str
    values: tuple[Decimal, ...] = ()
    """Readings of a number; from and to of a range; minutes since midnight; day of the month."""
    gap: int = 0
    """What parts it from the token before: 0 nothing, 1 a clause, 2 a sentence."""
    glued: bool = False
    """Stands directly behind a hyphen that follows a letter, as 19 in 'Covid-19'."""
    worded: bool = False
    """A time of day that says which half of it."""


_LETTER = rf"[^\W\d_{UNSPACED}]"
_ALNUM = rf"[^\W_{UNSPACED}]"
_LEXEME = re.compile(
    rf"""
      (?P<sign>(?<![^\s(\[$€£¥])-(?=[$€£¥]?\.?\d))
    | (?P<number>(?:\d+|(?<!\w)\.\d+)(?:[.,:'/^-]\d+)*) (?P<suffix>{_LETTER}{_ALNUM}*)?
    | (?P<code>{_LETTER}+\d{_ALNUM}*(?:\.\d+)*)
    | (?P<money>(?<!\w)(?:US|CA|AU|NZ|HK|[ACSR])?\$|[€£¥₹₩₽₺])
    | (?P<cjk>[{UNSPACED}])
    | (?P<word>(?<!\w)[A-F]-(?![\w-]) | {_LETTER}+(?:\+\+|[+\#](?!\w))? | %)
    | (?P<dash>\s-+\s | (?<=[\d%€£])-(?=[$€£¥\d]))
    | (?P<stop>[.!?]+(?=[\s"')\]]|$) | [;|。！？] | \n\s*\n | \n(?=[ \t]*(?:[-*•]|\d+[.)])[ ]))
    | (?P<comma>[,:、…])
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MEASURED = "[%€$£]|" + "|".join(
    rf"{word}\b" for word in (*q.UNITS, *q.CURRENCIES) if word.isalpha() and len(word) > 2
)


def _closed_up(found: re.Match[str]) -> str:
    """'1 500 francs'; between other words 1 and 500 are two numbers."""
    return found[1] + found[2].replace(" ", "")


def _once(found: re.Match[str], word: int, figure: int) -> str:
    """'five (5)' and '5 (five)' are one number."""
    spelled = found[word].casefold()
    value = q.ONES.get(spelled, q.TENS.get(spelled))
    return found[figure] if value == int(found[figure]) else found[0]


_SPELLINGS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"~~[^~\n]+~~|[`*]|__", ""),
    (rf"(?<![\d.,])([1-9]\d{{0,2}})((?: \d{{3}})+)(?= ?(?:{_MEASURED}))", _closed_up),
    (r"\\([^\w\s])", r"\1"),
    (r"(?<![^\W_])(?:[^\W\d_]\.){2,}", lambda found: found[0].replace(".", "")),
    (r"\bcannot\b|\bcan't\b", "can not"),
    (r"\bwon't\b", "will not"),
    (r"(?<=n)'t\b", " 't"),
    (r"n 't\b", " not"),
    (r"\b(?:per\s?cent|pct|prozent|pour\s?cent|por\s?ciento)\b", "%"),
    (r"(?<![\d.,:])(\d{1,2})\s?[時时點点시]\s?([0-5]\d)\s?[分분]?", r" \1:\2 "),
    (r"\b(\d{1,2})\s?h\s?([0-5]\d)\b", r"\1:\2"),
    (r"\b(\d{1,2})\.([0-5]\d)(?=\s?(?:[ap]m|uhr)\b)", r"\1:\2"),
    (r"\b(\d{1,2})\s?(?:o'clock|uhr(?!\s?\d))", r"\1:00"),
    (r"\b(\d{1,2}:\d\d)\s?uhr\b", r"\1"),
    (r"\b(\d{1,2})\s?uhr\s?([0-5]\d)\b", r"\1:\2"),
    (r"\b([^\W\d_]{2,9})\s?\((\d{1,3})\)", lambda found: _once(found, 1, 2)),
    (r"\b(\d{1,3})\s?\(([^\W\d_]{2,9})\)", lambda found: _once(found, 2, 1)),
)
"""The commonest ways to write one thing, made one."""
_BEFORE = tuple((re.compile(pattern, re.IGNORECASE), by) for pattern, by in _SPELLINGS)
_NARROW = re.compile(r"(?<=\d)[\xa0\u2007\u2009\u202f](?=\d{3}(?!\d))")
_RAISED = re.compile(r"(?<=[\d)])([⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_FRACTION = re.compile(r"(\d?)([½¼¾])")
_QUARTERS = {"½": ".5", "¼": ".25", "¾": ".75"}
_APART = ("mid", "pre", "post", "early", "late", "fy", "max", "min")
"""'mid-2024' names 2024, 'Covid-19' does not name 19."""


def lexed(text: str) -> list[Token]:
    """The tokens of a text, none put together yet."""
    return _lexed(_plain(text))


def _plain(text: str) -> str:
    """Without markup, in one typography, with the commonest ways to write one thing made one."""
    text = _RAISED.sub(r"^\1", _FRACTION.sub(lambda f: (f[1] or "0") + _QUARTERS[f[2]], text))
    text = strip_markup(text.replace("—", " — "))
    text = _NARROW.sub("'", text)
    text = unicodedata.normalize("NFKC", text).translate(TYPOGRAPHY).replace("⁄", "/")
    for pattern, by in _BEFORE:
        text = pattern.sub(by, text)
    return text


def _lexed(text: str) -> list[Token]:
    tokens: list[Token] = []
    gap, negative = 0, False
    for found in _LEXEME.finditer(text):
        kind = found.lastgroup if found.lastgroup != "suffix" else "number"
        if kind in ("comma", "stop"):
            gap = max(gap, _depth(kind, found[0], tokens))
            continue
        if kind == "sign":
            negative = True
            continue
        new = _made(str(kind), found)
        start = found.start()
        glued = text[start - 1 : start] == "-" and text[start - 2 : start - 1].isalpha()
        if glued and tokens and tokens[-1].text not in _APART:
            new[0] = replace(new[0], glued=True)
        if negative and kind == "number":
            new[0] = replace(new[0], values=tuple(-value for value in new[0].values))
        negative = negative and kind == "money"
        new[0] = replace(new[0], gap=gap)
        tokens += new
        gap = 0
    return tokens


def _depth(kind: str | None, mark: str, tokens: Sequence[Token]) -> int:
    if kind == "comma":
        return 1
    short = mark == "." and tokens and tokens[-1].kind is Kind.WORD and len(tokens[-1].text) < 4
    # 'Dr.' and 'No.' end no sentence.
    return 1 if short else 2


def _made(kind: str, found: re.Match[str]) -> list[Token]:
    if kind == "number":
        return _numbers(found["number"], found["suffix"] or "")
    text = found[0].casefold()
    if kind == "code":
        version = re.fullmatch(r"v(\d[\d.]*)", text)
        return _numbers(version[1], "") if version else [Token(Kind.CODE, text)]
    if kind == "dash":
        return [Token(Kind.DASH, "-")]
    if text in q.ORDINALS:
        return [Token(Kind.ORDINAL, text, (Decimal(q.ORDINALS[text]),))]
    if text in ("noon", "midnight"):
        return [Token(Kind.TIME, text, (Decimal(720 if text == "noon" else 0),), worded=True)]
    return [Token(Kind.WORD, text)]


def _numbers(written: str, suffix: str) -> list[Token]:
    """Tokens of figures and the letters directly behind them."""
    low = suffix.casefold()
    known = low in q.UNITS or low in q.SCALES or low in q.CURRENCIES or low in ("m", "am", "pm")
    letters = len(low) > 1 and low.isalpha() and not suffix[:2].isupper()
    if low and not known and not letters:
        return [Token(Kind.CODE, f"{written}{low}")]
    if low in q.ORDINAL_ENDINGS and q.readings(written):
        return [Token(Kind.ORDINAL, written, q.readings(written))]
    tokens = _figures(written)
    return [*tokens, Token(Kind.WORD, low)] if low else tokens


def _figures(written: str) -> list[Token]:
    values, minutes, day = q.readings(written), q.clock(written), q.calendar(written)
    if values:
        return [Token(Kind.NUMBER, written, values)]
    if minutes is not None:
        return [Token(Kind.TIME, written, (Decimal(minutes),))]
    if day is not None:
        return [
            Token(Kind.DAY, written, (Decimal(day[0]),)),
            Token(Kind.WORD, day[1]),
            Token(Kind.NUMBER, str(day[2]), (Decimal(day[2]),)),
        ]
    parts = written.split("-")
    if len(parts) == 2 and all(parts):
        first, last = _figures(parts[0]), _figures(parts[1])
        if len(first) == len(last) == 1 and rising(first[0], last[0]):
            return [*first, Token(Kind.DASH, "-"), *last]
    listed = written.split(",")
    if len(listed) > 2 and all(q.readings(part) for part in listed):
        return [Token(Kind.NUMBER, part, q.readings(part), gap=1) for part in listed]
    return [Token(Kind.CODE, written)]


def rising(first: Token, last: Token) -> bool:
    """Whether two tokens can be the ends of a range."""
    both = {first.kind, last.kind}
    return both == {Kind.TIME} or (both == {Kind.NUMBER} and first.values[0] < last.values[0])
