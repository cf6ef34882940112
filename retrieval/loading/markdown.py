"""Markdown, with the template languages that static sites wrap around it."""

import html
import re
from collections.abc import Callable, Iterator

from retrieval.loading.front_matter import split_front_matter
from retrieval.loading.guard import decode
from retrieval.loading.model import LoadedDocument, SectionBuilder
from retrieval.loading.templates import strip_templates

FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
TICKS = re.compile("`+")
HEADING = re.compile(r"^ {0,3}(#{1,6})(?:[ \t](.*))?$")
UNDERLINE = re.compile(r"^ {0,3}(=+|-{2,})[ \t]*$")
NOT_A_PARAGRAPH = re.compile(r"^\s*(?:[-*+>|]|\d+[.)]\s|$)")

# What may repeat never gives back what it took (`++`, `*+`) and stops at the next bracket or quote:
# no opening is looked at twice, however many of them stand in a row.
ATTRIBUTES = re.compile(r"\{:[^{}\n]*+\}|(?<=\s)\{#[\w-]++\}")
LINK = re.compile(
    r"!?\[((?:[^\[\]]++|\[[^\[\]]*+\])*+)\]"
    r"\((?:[^()\s]++|\([^()]*+\))*+"
    r"(?:\s++(?:\"[^\"\n]*+\"|'[^'\n]*+'|\([^()\n]*+\)))?[ \t]*+\)"
)
REFERENCE_LINK = re.compile(r"\[([^\[\]]++)\]\[[^\[\]]*+\]")
DEFINITION = re.compile(r"^ {0,3}\[(?!\^)[^\[\]]++\]:\s*+\S++.*$", re.M)
HUGE_CHARACTER = re.compile(r"&#\d{8,};?")
BREAK = re.compile(r"<br\s*/?>", re.I)
CELL_END = re.compile(r"</t[dh]>", re.I)
MARKUP = re.compile(
    r"</?(?:a|abbr|b|blockquote|br|center|code|details|div|em|figcaption|figure|font|h[1-6]|hr|i|"
    r"iframe|img|kbd|li|mark|nav|ol|p|pre|section|small|span|strong|sub|summary|sup|table|tbody|"
    r"td|th|thead|tr|u|ul|video)\b(?:\s[^<>]*)?/?>",
    re.I,
)


def load_markdown(content: bytes) -> LoadedDocument:
    """Sections by heading; template tags, link targets and comments removed, their text kept.

    The title is the front matter's, else the first heading.
    """
    text = decode(content).replace("\r\n", "\n").replace("\r", "\n")
    title, text = split_front_matter(text)
    builder = SectionBuilder()
    for kind, piece in _pieces(text):
        if kind == "code":
            builder.add(piece)
        else:
            _add_prose(builder, strip_markup(piece))
    return LoadedDocument(title or _plain(builder.first_heading), builder.sections())


def strip_markup(text: str) -> str:
    """Remove what a reader of the rendered page would not see; leave `code` as it is."""
    return _outside_code(_strip_rendered, text)


def _strip_rendered(text: str) -> str:
    text = ATTRIBUTES.sub("", strip_templates(text))
    for _ in range(2):  # a picture within a link
        text = LINK.sub(r"\1", text)
    text = REFERENCE_LINK.sub(r"\1", DEFINITION.sub("", text))
    text = MARKUP.sub("", CELL_END.sub(" | ", BREAK.sub("\n", text)))
    return html.unescape(HUGE_CHARACTER.sub("\ufffd", text)).replace("\xa0", " ")


def _outside_code(change: Callable[[str], str], text: str) -> str:
    """Apply `change` with code spans put aside: a tag may begin before one and end after it."""
    text = text.replace("\x00", "")
    spans = list(_code_spans(text))
    parts, at = [], 0
    for number, (start, end) in enumerate(spans):
        parts.append(f"{text[at:start]}\x00{number}\x00")
        at = end
    changed = change("".join([*parts, text[at:]]))

    def back(found: re.Match[str]) -> str:
        start, end = spans[int(found.group(1))]
        return text[start:end]

    return re.sub("\x00(\\d+)\x00", back, changed)


def _code_spans(text: str) -> Iterator[tuple[int, int]]:
    """From a run of backticks to the next run of the same length, as CommonMark has it."""
    runs = [found.span() for found in TICKS.finditer(text)]
    partners: list[int | None] = [None] * len(runs)
    nearest: dict[int, int] = {}
    for number in reversed(range(len(runs))):
        length = runs[number][1] - runs[number][0]
        partners[number] = nearest.get(length)
        nearest[length] = number
    number = 0
    while number < len(runs):
        partner = partners[number]
        if partner is not None:
            yield runs[number][0], runs[partner][1]
            number = partner
        number += 1


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield ('code' or 'prose', text), fenced blocks apart."""
    kept: list[str] = []
    fence = ""
    for line in text.split("\n"):
        found = FENCE.match(line)
        if fence:
            kept.append(line)
            if found and found.group(1).startswith(fence) and not found.group(2).strip():
                yield "code", "\n".join(kept)
                kept, fence = [], ""
        elif found and "`" not in found.group(2):
            yield "prose", "\n".join(kept)
            kept, fence = [line], found.group(1)
        else:
            kept.append(line)
    yield ("code" if fence else "prose"), "\n".join(kept)


def _add_prose(builder: SectionBuilder, text: str) -> None:
    previous: str | None = None
    for line in text.split("\n"):
        heading = HEADING.match(line)
        underline = UNDERLINE.match(line) if previous is not None else None
        if heading:
            _add(builder, previous)
            builder.heading(len(heading.group(1)), _plain(_unclosed(heading.group(2) or "")))
            previous = None
        elif underline and previous and not NOT_A_PARAGRAPH.match(previous):
            builder.heading(1 if "=" in underline.group(1) else 2, _plain(previous))
            previous = None
        else:
            _add(builder, previous)
            previous = line
    _add(builder, previous)


def _add(builder: SectionBuilder, line: str | None) -> None:
    if line is not None:
        builder.add(line.rstrip())


def _unclosed(heading: str) -> str:
    """Drop the `#`s that may close a heading."""
    text = heading.rstrip(" \t")
    bare = text.rstrip("#")
    return text if bare and bare[-1] not in " \t" else bare


def _plain(heading: str) -> str:
    return re.sub(r"\*\*|__|`", "", heading).strip()
