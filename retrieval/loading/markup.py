"""HTML."""

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from retrieval.loading.guard import decode
from retrieval.loading.markdown import split_front_matter, strip_templates
from retrieval.loading.model import LoadedDocument, SectionBuilder

DROPPED = ["nav", "script", "style", "header", "footer", "noscript", "template", "svg", "iframe"]
HEADINGS = {f"h{level}": level for level in range(1, 7)}
BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "br", "caption", "dd", "details", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "form", "hr", "html", "li", "main", "ol", "p",
    "pre", "section", "summary", "table", "ul",
}  # fmt: skip
CHARSET = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?\s*([\w-]+)", re.I)


def load_html(content: bytes) -> LoadedDocument:
    """Visible text by heading, without navigation, scripts and page furniture."""
    title, text = split_front_matter(_decode(content))
    soup = BeautifulSoup(strip_templates(text), "lxml")
    if not title and soup.title:
        title = soup.title.get_text(" ", strip=True)
    for tag in soup.find_all(DROPPED):
        tag.decompose()
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
        try:
            return content.decode(declared.group(1).decode("ascii"))
        except (UnicodeDecodeError, LookupError):
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


def _open(element: Tag, stack: list[Iterator[PageElement] | str]) -> Iterator[tuple[str, str]]:
    name = element.name
    if name in HEADINGS:
        yield "heading", f"{HEADINGS[name]} {element.get_text(' ', strip=True)}"
    elif name == "table" and element.find("table") is None:
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


def _table_lines(table: Tag) -> Iterator[str]:
    caption = table.find("caption")
    if caption:
        yield caption.get_text(" ", strip=True) + "\n"
    for number, row in enumerate(table.find_all("tr")):
        cells = [
            " ".join(cell.get_text(" ", strip=True).split()) for cell in row.find_all(["td", "th"])
        ]
        yield "| " + " | ".join(cells) + " |"
        if number == 0:
            yield "|" + " --- |" * len(cells)
