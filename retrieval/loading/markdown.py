"""Markdown, with the template languages that static sites wrap around it."""

import html
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from retrieval.loading.guard import decode
from retrieval.loading.model import LoadedDocument, SectionBuilder

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.M)
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
CODE = re.compile(r"(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)", re.DOTALL)
HEADING = re.compile(r"^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
UNDERLINE = re.compile(r"^ {0,3}(=+|-{2,})[ \t]*$")
NOT_A_PARAGRAPH = re.compile(r"^\s*(?:[-*+>|]|\d+[.)]\s|$)")

INVISIBLE = re.compile(
    r"\{%-?\s*comment\s*-?%\}.*?\{%-?\s*endcomment\s*-?%\}|\{#.*?#\}|<!--.*?-->|<%#.*?%>",
    re.DOTALL,
)
TEMPLATE_TAG = re.compile(r"\{%-?\s*(\w+)(.*?)-?%\}|\{\{.*?\}\}|<%.*?%>", re.DOTALL)
QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")
TEMPLATE_TARGET = re.compile(r"\]\(\s*(?:\{%.*?%\}|\{\{.*?\}\}|<%.*?%>)[^)\n]*\)", re.DOTALL)
ATTRIBUTES = re.compile(r"\{:[^}\n]*\}|(?<=\s)\{#[\w-]+\}")
LINK = re.compile(
    r"!?\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?:[^()\s]|\([^()]*\))*(?:\s+[\"'(].*?[\"')])?\)"
)
REFERENCE_LINK = re.compile(r"\[([^\[\]]+)\]\[[^\[\]]*\]")
DEFINITION = re.compile(r"^ {0,3}\[(?!\^)[^\]]+\]:\s*\S+.*$", re.M)
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


def split_front_matter(text: str) -> tuple[str, str]:
    """Return the title in a file's YAML front matter ('' without one) and the text after it."""
    found = FRONT_MATTER.match(text)
    if not found:
        return "", text
    try:
        fields: Any = yaml.safe_load(found.group(1))
    except yaml.YAMLError:
        # Front matter with a slip in it, as a colon within a title, is still no text.
        titled = re.search(r"^title:\s*(\S.*)$", found.group(1), re.M)
        return (titled.group(1).strip() if titled else ""), text[found.end() :]
    if fields is not None and not isinstance(fields, dict):
        return "", text  # Text between two rules: dropping it would lose it.
    title = fields.get("title") if isinstance(fields, dict) else None
    return (str(title) if title else ""), text[found.end() :]


def strip_templates(text: str) -> str:
    """Remove template tags and comments; the text that they show stays."""
    text = TEMPLATE_TARGET.sub("]()", INVISIBLE.sub("", text))
    return TEMPLATE_TAG.sub(_shown_by_tag, text)


def strip_markup(text: str) -> str:
    """Remove what a reader of the rendered page would not see; leave `code` as it is."""
    return _outside_code(_strip_rendered, text)


def _strip_rendered(text: str) -> str:
    text = ATTRIBUTES.sub("", strip_templates(text))
    for _ in range(2):  # a picture within a link
        text = LINK.sub(r"\1", text)
    text = REFERENCE_LINK.sub(r"\1", DEFINITION.sub("", text))
    text = MARKUP.sub("", CELL_END.sub(" | ", BREAK.sub("\n", text)))
    return html.unescape(text).replace("\xa0", " ")


def _shown_by_tag(found: re.Match[str]) -> str:
    name, arguments = found.group(1), found.group(2) or ""
    strings = [a or b for a, b in QUOTED.findall(arguments)]
    if name == "slack_channel" and strings:
        return f"#{strings[0]}"
    if name in {"include", "render", "page", "import", "extends", "set", "assign"}:
        return ""
    return next((text for text in reversed(strings) if " " in text or "/" not in text), "")


def _outside_code(change: Callable[[str], str], text: str) -> str:
    """Apply `change` with code spans put aside: a tag may begin before one and end after it."""
    spans: list[str] = []

    def aside(found: re.Match[str]) -> str:
        spans.append(found.group())
        return f"\x00{len(spans) - 1}\x00"

    changed = change(CODE.sub(aside, text.replace("\x00", "")))
    return re.sub("\x00(\\d+)\x00", lambda found: spans[int(found.group(1))], changed)


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
            builder.heading(len(heading.group(1)), _plain(heading.group(2) or ""))
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


def _plain(heading: str) -> str:
    return re.sub(r"\*\*|__|`", "", heading).strip()
