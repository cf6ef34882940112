"""An answer's text as a row of tokens that can be compared: words, numbers, times, dates.

Read once, from left to right, with patterns that look at every character a bounded number of
times; then a few passes over the tokens put together what belongs together ("two hundred", "$1.5
million", "9.30 am", "May 5th", "5 to 10"). Money stands behind its number and a day before its
month, however they were written, so that equal things are equal rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache

from eval import quantities as q
from eval.lexing import Kind, Token, lexed, rising

__all__ = ["Kind", "Token", "read", "same"]


@lru_cache(maxsize=2048)
def read(text: str) -> tuple[Token, ...]:
    """The tokens of a text."""
    tokens = lexed(text)
    for one_pass in (_spelled, _scaled, _priced, _timed, _dated, _ranged):
        tokens = _rewritten(tokens, one_pass)
    return tuple(_undashed(tokens))


def same(wanted: Token, found: Token) -> bool:
    """Whether what was found is what was wanted; a bare number asks for less than a full one."""
    if found.kind is Kind.TIME and wanted.kind in (Kind.NUMBER, Kind.TIME):
        scale = 60 if wanted.kind is Kind.NUMBER else 1
        day = 720 if found.worded and not wanted.worded else 1440
        return wanted.values[0] * scale % day == found.values[0] % day
    if wanted.kind is not found.kind and (wanted.kind, found.kind) != (Kind.ORDINAL, Kind.DAY):
        return False
    if wanted.kind is Kind.NUMBER:
        return not set(wanted.values).isdisjoint(found.values)
    if wanted.values:
        return wanted.values == found.values
    return _name(wanted.text) == _name(found.text)


def _name(word: str) -> str:
    """One name for 'francs' and 'CHF', 'hrs' and 'hours'."""
    return q.CURRENCIES.get(word) or q.UNITS.get(word) or word


Pass = Callable[[Sequence[Token], int], tuple[list[Token], int] | None]
"""What stands for the tokens from a place on, and how many it stands for; None: as they are."""


def _rewritten(tokens: Sequence[Token], one_pass: Pass) -> list[Token]:
    rewritten: list[Token] = []
    at = 0
    while at < len(tokens):
        new, taken = one_pass(tokens, at) or ([tokens[at]], 1)
        rewritten.append(replace(new[0], gap=tokens[at].gap))
        rewritten += new[1:]
        at += taken
    return rewritten


def _next(tokens: Sequence[Token], at: int, kind: Kind = Kind.WORD) -> Token | None:
    """The token at a place if it is of a kind and belongs to the one before."""
    if at >= len(tokens) or tokens[at].gap or tokens[at].kind is not kind:
        return None
    return tokens[at]


def _spelled(tokens: Sequence[Token], at: int) -> tuple[list[Token], int] | None:
    """'two hundred and forty' is 240; 'the one' is no number."""
    value, end = 0, at
    while end < len(tokens) and (end == at or not tokens[end].gap):
        added = _added(value, tokens[end].text)
        if added is None and tokens[end].text == "and" and value and value % 100 == 0:
            added = _added(value, tokens[end + 1].text) if end + 1 < len(tokens) else None
            end += added is not None
        if added is None:
            break
        value, end = added, end + 1
    if end == at or (tokens[at].text == "one" and end == at + 1 and not _counts(tokens, at)):
        return None
    return [
        Token(Kind.NUMBER, tokens[at].text, (Decimal(value),), glued=tokens[at].glued)
    ], end - at


def _added(value: int, word: str) -> int | None:
    """A spelled number with one more word, or None if the word does not go on with it."""
    if word == "hundred":
        return max(1, value) * 100 if value < 100 else None
    if word in q.TENS:
        return value + q.TENS[word] if value % 100 == 0 else None
    if word in q.ONES and (value % 100 == 0 or (value % 10 == 0 and q.ONES[word] < 10)):
        return value + q.ONES[word]
    return None


def _counts(tokens: Sequence[Token], at: int) -> bool:
    before = tokens[at - 1].text if at and not tokens[at].gap else ""
    after = _next(tokens, at + 1)
    return before not in q.NO_NUMBER_BEFORE and (
        after is None or after.text not in q.NO_NUMBER_AFTER
    )


def _scaled(tokens: Sequence[Token], at: int) -> tuple[list[Token], int] | None:
    """'1.5 million' is one number; 'm' is a million only of money."""
    number, scale = tokens[at], _next(tokens, at + 1)
    if number.kind is not Kind.NUMBER or scale is None:
        return None
    factor = q.SCALES.get(scale.text, 0)
    beside = (tokens[at - 1].text if at else "", *(t.text for t in tokens[at + 2 : at + 3]))
    if scale.text == "m" and any(text in q.CURRENCIES for text in beside):
        factor = 1_000_000
    if not factor:
        return None
    return [replace(number, values=tuple(value * factor for value in number.values))], 2


def _priced(tokens: Sequence[Token], at: int) -> tuple[list[Token], int] | None:
    """Money stands behind its number, under one name; units have one name too."""
    currency = q.CURRENCIES.get(tokens[at].text)
    if currency and tokens[at].kind is Kind.WORD:
        number = _next(tokens, at + 1, Kind.NUMBER)
        after = _next(tokens, at + 2)
        if number is None:
            return None
        again = after is not None and q.CURRENCIES.get(after.text) is not None
        own = q.CURRENCIES[after.text] if after is not None and again else currency
        return [number, Token(Kind.WORD, own)], 3 if again else 2
    if tokens[at].kind is not Kind.NUMBER:
        return None
    unit = _next(tokens, at + 1) or _next(tokens, at + 1, Kind.ORDINAL)
    named = q.CURRENCIES.get(unit.text) or q.UNITS.get(unit.text) if unit else None
    return ([tokens[at], Token(Kind.WORD, named)], 2) if named else None


def _timed(tokens: Sequence[Token], at: int) -> tuple[list[Token], int] | None:
    """'9 am' and '9:00 am' are one time."""
    time, half = tokens[at], _next(tokens, at + 1)
    if half is None or half.text not in ("am", "pm"):
        return None
    if time.kind is Kind.NUMBER and time.values[0] in range(1, 13):
        minutes = int(time.values[0]) * 60
    elif time.kind is Kind.TIME and time.values[0] < 780:
        minutes = int(time.values[0])
    else:
        return None
    minutes = minutes % 720 + (720 if half.text == "pm" else 0)
    return [Token(Kind.TIME, time.text, (Decimal(minutes),), worded=True)], 2


def _dated(tokens: Sequence[Token], at: int) -> tuple[list[Token], int] | None:
    """'5 May', 'May 5th' and 'the 5th of May' are a day and a month, in this order."""
    first = tokens[at]
    if _day(first):
        after = at + 1 + (at + 1 < len(tokens) and tokens[at + 1].text == "of")
        month = tokens[after] if after < len(tokens) else None
        if month and month.text in q.MONTHS and (not month.gap or month.text != "may"):
            return [_as_day(first), Token(Kind.WORD, q.MONTHS[month.text])], after + 1 - at
    if first.kind is Kind.WORD and first.text in q.MONTHS and at + 1 < len(tokens):
        named, second = Token(Kind.WORD, q.MONTHS[first.text]), tokens[at + 1]
        if not second.gap and _day(second):
            return [_as_day(second), named], 2
        if not second.gap and _year(second):
            return [named, second], 2
    return None


def _day(token: Token) -> bool:
    figures = token.kind is Kind.ORDINAL or (token.kind is Kind.NUMBER and token.text[:1].isdigit())
    return figures and token.values[0] in range(1, 32)


def _as_day(token: Token) -> Token:
    return Token(Kind.DAY, token.text, token.values[:1])


def _year(token: Token) -> bool:
    return token.kind is Kind.NUMBER and token.values[0] in range(1000, 3000)


def _ranged(tokens: Sequence[Token], at: int) -> tuple[list[Token], int] | None:
    """'5-10', '5 to 10' and 'between 5 and 10' are one range; 'from 5 to 10' may be a change."""
    opened = tokens[at].text == "between"
    if not opened and at and tokens[at - 1].text in ("from", "von", "de"):
        return None
    start = at + opened
    parsed = _bounded(tokens, start, ("and", "und") if opened else ("to", "bis", "-"))
    if parsed is None:
        return None
    low, high, unit, end = parsed
    if low.kind is Kind.TIME:
        return [*tokens[at:start], low, Token(Kind.WORD, "to"), high], end - at
    both = Token(
        Kind.RANGE, f"{low.text}-{high.text}", (low.values[0], high.values[0]), glued=low.glued
    )
    return [both, *unit], end - at


def _bounded(
    tokens: Sequence[Token], at: int, joints: tuple[str, ...]
) -> tuple[Token, Token, list[Token], int] | None:
    """Lower and upper bound, their unit, and the place behind them."""
    if at >= len(tokens):
        return None
    names = {"%", *q.CURRENCIES.values(), *q.UNITS.values()}
    joint = at + 1 + (at + 1 < len(tokens) and tokens[at + 1].text in names)
    if joint + 1 >= len(tokens) or tokens[joint].text not in joints or tokens[joint + 1].gap:
        return None
    low, high, end = tokens[at], tokens[joint + 1], joint + 2
    unit = [t for t in tokens[end : end + 1] if t.text in names and not t.gap]
    if not rising(low, high) or (joint > at + 1 and unit and unit[0].text != tokens[at + 1].text):
        return None
    return low, high, unit or list(tokens[at + 1 : joint]), end + len(unit)


def _undashed(tokens: Sequence[Token]) -> list[Token]:
    """A dash that parts no numbers parts clauses."""
    kept: list[Token] = []
    gap = 0
    for token in tokens:
        if token.kind is Kind.DASH:
            gap = 1
            continue
        kept.append(replace(token, gap=max(gap, token.gap)))
        gap = 0
    return kept
