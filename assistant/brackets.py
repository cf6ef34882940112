"""What a citation is: the one answer to it, for checking, showing and grading.

A bracket of numbers is a citation where citations stand: behind a space or a mark of prose, not
directly behind a word (`argv[0]`), not before a name or an address (`[1].name`, `[1](x)`), and not
in code or a formula. One number cites if a passage has it. A list of numbers cites if passages
have all of them, it ends a clause and no word before it announces an interval or a list ("the
scale is [1, 3]"). A single number that no passage has strays, so that it may be taken out, only
where nothing but a citation stands: beside a citation, or behind a whole sentence. Everything
else belongs to the text. Linear in its length.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.wordings import UNSPACED


class Role(StrEnum):
    """What a bracket of numbers is in its text."""

    CITES = "cites"
    STRAYS = "strays"
    """Meant as a citation, of a passage that is not there."""


@dataclass(frozen=True)
class Bracket:
    """A bracket of numbers that is, or was meant as, a citation."""

    start: int
    end: int
    inside: str
    numbers: tuple[int, ...]
    role: Role
    leads: bool
    """The first of brackets that stand side by side, of which another one cites."""


_GROUP = re.compile(r"\[\s*(\d{1,4}(?:\s*[,;]\s*\d{1,4})*)\s*\]")
_BEHIND = re.compile(rf"[\s.,;:!?…%°€»”’。、，；：！？*|—–{UNSPACED}]")
"""What may stand directly before a citation; brackets and quotes are looked at more closely."""
_OPERATORS = "=<>≤≥∈+^&\\{/"
_AHEAD = re.compile(rf"(?!\.?[^\W{UNSPACED}]|[(\[\]{{=`/\\])")
_DEFINES = re.compile(r"\]:\s")
_ENDS = re.compile(r"\s*(?:$|\n|[.,;:!?)…。、，；：！？」|*\"”]|(?:and|or|but|und|et|y)\b)")
_ANNOUNCES = re.compile(
    r"""(?:^|[^\w])
    (?: is|are|was|were|be|in|of|to|from|between|within|over|on|equals|interval|range|scale|list
      | array|vector|set|tuple|domain|values|points|coordinates|matrix|and|or ) \s*$
    | [:,]\s*$""",
    re.IGNORECASE | re.VERBOSE,
)
_LONGEST_WORD = 12
_SENTENCE = re.compile(r"(\w*)[.!?…。！？][\"')”*]*\s*$")
_SHORTENED = frozenset(
    ("no", "nr", "art", "sec", "sect", "fig", "figs", "tab", "par", "para", "ch", "chap", "p",
     "pp", "vol", "cf", "eg", "ie", "g", "e", "i", "approx", "ca", "etc", "vs", "abs", "ziff",
     "bzw", "b", "z", "st", "resp", "incl", "max", "min")
)  # fmt: skip
_NEW_SENTENCE = re.compile(r"\s*(?:$|\n|[^\W\d_a-z])")
_OPENERS = re.compile(
    r"(?P<fence>^ {0,3}(?:`{3,}|~{3,}))|(?P<ticks>`+)|\$\$|\\\(|\\\[", re.MULTILINE
)
_CLOSERS = {"$$": "$$", "\\(": "\\)", "\\[": "\\]"}
_FORMULA = re.compile(r"(?<![\w$\\])\$(?=[^\s\d$])[^$\n]*(?<=\S)\$(?![\w$])")


def find_brackets(text: str, passages: int) -> list[Bracket]:
    """The citations of `text`, and what strays, in order.

    Args:
        text: an answer, or a sentence of a document, in Markdown.
        passages: how many there are to be cited.
    """
    found: list[Bracket] = []
    for run in _runs(text):
        known = [_cites(text, run, place, passages) for place in range(len(run))]
        beside = any(known)
        behind = _SENTENCE.search(text[max(0, run[0].start() - 40) : run[0].start()])
        alone = (
            behind is not None
            and behind[1].casefold() not in _SHORTENED
            and _NEW_SENTENCE.match(text, run[-1].end()) is not None
        )
        for place, (group, cites) in enumerate(zip(run, known, strict=True)):
            numbers = _numbers(group)
            strays = len(numbers) == 1 and not cites and (alone or beside)
            if cites or strays:
                role = Role.CITES if cites else Role.STRAYS
                leads = place == 0 and beside and not cites
                found.append(Bracket(*group.span(), group[1], numbers, role, leads))
    return found


def _cites(text: str, run: Sequence[re.Match[str]], place: int, passages: int) -> bool:
    group = run[place]
    numbers = _numbers(group)
    if not all(1 <= number <= passages for number in numbers):
        return False
    if len(numbers) == 1:
        return True
    ends = place + 1 < len(run) or _ENDS.match(text, group.end()) is not None
    before = text[max(0, run[0].start() - _LONGEST_WORD) : run[0].start()]
    return ends and _ANNOUNCES.search(before) is None


def _numbers(group: re.Match[str]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(int(number) for number in re.findall(r"\d+", group[1])))


def _runs(text: str) -> Iterator[list[re.Match[str]]]:
    """Brackets that stand where citations may, those side by side together."""
    spans = _literal(text)
    starts = [start for start, _ in spans]
    run: list[re.Match[str]] = []
    for group in _GROUP.finditer(text):
        at = bisect_right(starts, group.start()) - 1
        if at >= 0 and group.start() < spans[at][1]:
            continue
        beside = bool(run) and not text[run[-1].end() : group.start()].strip(" \t")
        if run and not beside:
            yield run
            run = []
        if (beside or _placed(text, group.start())) and _open(text, group):
            run.append(group)
    if run:
        yield run


def _placed(text: str, start: int) -> bool:
    """Whether what stands before a bracket lets it be a citation."""
    before = text[max(0, start - 1) : start]
    if text[max(0, start - 80) : start].rstrip()[-1:] in tuple(_OPERATORS):
        return False
    if before == ")":
        opened = text.rfind("(", max(0, start - 200), start)
        return opened >= 0 and (opened == 0 or not re.match(r"[\w)\]]", text[opened - 1]))
    if before == "(":
        return start == 1 or not re.match(r"[\w)\]]", text[start - 2])
    if before in ('"', "'"):
        return text[start - 2 : start - 1] in tuple(".,!?")
    return not before or _BEHIND.match(before) is not None


def _open(text: str, group: re.Match[str]) -> bool:
    """Whether what stands behind a bracket lets it be a citation."""
    if _GROUP.match(text, group.end()):
        return True
    opens = text[max(0, group.start() - 4) : group.start()].rpartition("\n")[2].isspace()
    first = group.start() == 0 or text[group.start() - 1] == "\n" or opens
    if first and _DEFINES.match(text, group.end() - 1):
        return False
    return _AHEAD.match(text, group.end()) is not None


def _literal(text: str) -> list[tuple[int, int]]:
    """Where code and formulas stand, in order, none within another."""
    ticks: dict[int, list[int]] = {}
    for found in re.finditer(r"`+", text):
        ticks.setdefault(len(found[0]), []).append(found.start())
    spans = [found.span() for found in _FORMULA.finditer(text)]
    end = 0
    unclosed: set[str] = set()
    for found in _OPENERS.finditer(text):
        if found.start() < end or found[0] in unclosed:
            continue
        close = _closing(text, found, ticks)
        if close is None:
            if not found["ticks"]:
                unclosed.add(found[0])
            continue
        end = close
        spans.append((found.start(), end))
    return _apart(sorted(spans))


def _closing(text: str, opened: re.Match[str], ticks: dict[int, list[int]]) -> int | None:
    """Where code or a formula that opens here ends; an unclosed fence ends with the text."""
    mark = opened[0].strip(" ")
    if opened["fence"]:
        close = re.compile(rf"^ {{0,3}}{mark[0]}{{{len(mark)},}}[ \t]*$", re.MULTILINE)
        found = close.search(text, opened.end())
        return found.end() if found else len(text)
    if opened["ticks"]:
        places = ticks[len(mark)]
        after = bisect_right(places, opened.start())
        if after == len(places) or "\n\n" in text[opened.end() : places[after]]:
            return None
        return places[after] + len(mark)
    close_at = text.find(_CLOSERS[mark], opened.end())
    return None if close_at < 0 else close_at + len(mark)


def _apart(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans joined where they overlap."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
