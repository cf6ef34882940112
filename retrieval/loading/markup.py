"""HTML."""

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from retrieval.loading.front_matter import split_front_matter
from retrieval.loading.guard import decode
from retrieval.loading.model import LoadedDocument, SectionBuilder
from retrieval.loading.templates import strip_templates

DROPPED = {"nav", "script", "style", "header", "footer", "noscript", "template", "svg", "iframe"}
HEADINGS = {f"h{level}": level for level in range(1, 7)}
BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "br", "caption", "dd", "details", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "form", "hr", "html", "li", "main", "ol", "p",
    "pre", "section", "summary", "table", "ul",
}  # fmt: skip
CHARSET = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?\s*([\w-]+)", re.I)

NOT_OF_PAGES = {"idna", "punycode", "raw_unicode_escape", "unicode_escape", "utf-7", "utf7"}
"""Encodings that Python knows and no page is written in; some take very long."""


def load_html(content: bytes) -> LoadedDocument:
    """Visible text by heading, without navigation, scripts and page furniture."""
    title, text = split_front_matter(_decode(content))
    soup = BeautifulSoup(strip_templates(text), "lxml")
    if not title and soup.title:
        title = _words(soup.title)
    body = soup.body or soup
    builder = SectionBuilder()
    line: list[str] = []
    for event, value in _events(body):
        if event == "text":
            line.append(value)
            continue
        _flush(builder, line)
        if event == "heading":
            level, _, words = value.partition(" ")
            builder.heading(int(level), words)
        elif event == "table":
            builder.add(f"\n{value}\n")
        elif event == "item":
            line[:] = ["- "]
    _flush(builder, line)
    return LoadedDocument(title or builder.first_heading, builder.sections())


def _decode(content: bytes) -> str:
    declared = CHARSET.search(content[:2048])
    if declared and not content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        encoding = declared.group(1).decode("ascii").lower()
        try:
            return decode(content) if encoding in NOT_OF_PAGES else content.decode(encoding)
        except (UnicodeError, LookupError):
            pass  # Pages lie about their encoding; what they hold decides.
    return decode(content)


def _flush(builder: SectionBuilder, line: list[str]) -> None:
    text = "".join(line)
    words = " ".join(text.split())
    if words == "-":
        return  # A list item whose text is in a block of its own: the mark waits for it.
    if words:
        builder.add(words if text.startswith("- ") else f"{words}\n")
    line.clear()


def _events(parent: Tag) -> Iterator[tuple[str, str]]:
    """Walk in reading order without recursion: pages nest deeper than the interpreter's stack."""
    stack: list[Iterator[PageElement] | str] = [iter(parent.children)]
    while stack:
        top = stack[-1]
        if isinstance(top, str):
            stack.pop()
            yield "break", ""
            continue
        element = next(top, None)
        if element is None:
            stack.pop()
        elif isinstance(element, Tag):
            yield from _open(element, stack)
        elif isinstance(element, NavigableString) and not isinstance(element, PreformattedString):
            yield "text", str(element)


def _words(parent: Tag) -> str:
    """All words within an element."""
    pieces: list[str] = []
    stack: list[PageElement] = [parent]
    while stack:
        element = stack.pop()
        if isinstance(element, Tag):
            if element.name not in DROPPED:
                stack += reversed(element.contents)
        elif isinstance(element, NavigableString) and not isinstance(element, PreformattedString):
            pieces.append(str(element))
    return " ".join(" ".join(pieces).split())


def _open(element: Tag, stack: list[Iterator[PageElement] | str]) -> Iterator[tuple[str, str]]:
    name = element.name
    # Left out here: taking each out of the tree would search all its neighbours for it.
    if name in DROPPED:
        return
    if name in HEADINGS:
        yield "heading", f"{HEADINGS[name]} {_words(element)}"
    elif name == "table" and next(_outermost(element, "table"), None) is None:
        yield "table", "\n".join(_table_lines(element))
    elif name == "img":
        yield "text", f" {element.get('alt') or ''} "
    else:
        if name in BLOCKS:
            yield ("item" if name == "li" else "break"), ""
            stack.append("break")
        elif name in {"td", "th"}:
            yield "text", " "
        stack.append(iter(element.children))


def _outermost(parent: Tag, *names: str) -> Iterator[Tag]:
    """Elements of these names, without those within one of them."""
    stack: list[PageElement] = list(reversed(parent.contents))
    while stack:
        element = stack.pop()
        if isinstance(element, Tag):
            if element.name in names:
                yield element
            else:
                stack += reversed(element.contents)


def _table_lines(table: Tag) -> Iterator[str]:
    caption = next(_outermost(table, "caption"), None)
    if caption:
        yield _words(caption) + "\n"
    for number, row in enumerate(_outermost(table, "tr")):
        cells = [_words(cell) for cell in _outermost(row, "td", "th")]
        yield "| " + " | ".join(cells) + " |"
        if number == 0:
            yield "|" + " --- |" * len(cells)
