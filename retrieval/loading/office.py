"""Word and Excel."""

import io
import re
from collections.abc import Iterator
from typing import Any

import docx
import openpyxl
from docx.oxml.ns import qn

from retrieval.loading.model import LoadedDocument, Section, SectionBuilder
from retrieval.loading.plain import named_rows


def load_docx(content: bytes) -> LoadedDocument:
    """Paragraphs in reading order, headings by style, tables as `| a | b |` lines."""
    document = docx.Document(io.BytesIO(content))
    styles = {style.style_id: str(style.name) for style in document.styles}
    builder = SectionBuilder()
    for element in _blocks(document.element.body):
        if element.tag == qn("w:tbl"):
            builder.add("\n" + "\n".join(_table_lines(element)) + "\n")
            continue
        text = _text(element)
        level = _heading_level(element, styles)
        if level and text.strip():
            builder.heading(level, text)
        elif text.strip():
            builder.add(f"- {text.strip()}" if _is_list_item(element) else f"{text.strip()}\n")
    title = document.core_properties.title or builder.first_heading
    return LoadedDocument(title, builder.sections())


def _blocks(parent: Any) -> Iterator[Any]:
    # Content controls (w:sdt) wrap paragraphs that python-docx's own iteration leaves out.
    for child in parent:
        if child.tag in (qn("w:p"), qn("w:tbl")):
            yield child
        elif child.tag in (qn("w:sdt"), qn("w:sdtContent"), qn("w:ins"), qn("w:customXml")):
            yield from _blocks(child)


def _text(element: Any) -> str:
    pieces = []
    for node in element.iter():
        if node.tag == qn("w:t"):
            pieces.append(node.text or "")
        elif node.tag in (qn("w:tab"), qn("w:br"), qn("w:cr")):
            pieces.append(" " if node.tag == qn("w:tab") else "\n")
    return "".join(pieces)


def _heading_level(paragraph: Any, styles: dict[str, str]) -> int:
    style = paragraph.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
    if style is None:
        return 0
    name = styles.get(style.get(qn("w:val"), ""), "").lower()
    if name == "title":
        return 1
    found = re.fullmatch(r"heading (\d)", name)
    return int(found.group(1)) if found else 0


def _is_list_item(paragraph: Any) -> bool:
    return paragraph.find(f"{qn('w:pPr')}/{qn('w:numPr')}") is not None


def _table_lines(table: Any) -> Iterator[str]:
    for number, row in enumerate(table.iter(qn("w:tr"))):
        if next(row.iterancestors(qn("w:tbl"))) is not table:
            continue  # A table within a cell is already in that cell's text.
        cells = [
            " ".join(" ".join(_text(p) for p in cell.iter(qn("w:p"))).split())
            for cell in row.iter(qn("w:tc"))
            if next(cell.iterancestors(qn("w:tr"))) is row
        ]
        yield "| " + " | ".join(cells) + " |"
        if number == 0:
            yield "|" + " --- |" * len(cells)


def load_xlsx(content: bytes) -> LoadedDocument:
    """One section a sheet, one row a line, each value with its column's name."""
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    try:
        sections = []
        for sheet in book.worksheets:
            # Some programs write a wrong extent; without it openpyxl reads what is there.
            sheet.reset_dimensions()
            lines = (
                (number, ["" if value is None else str(value) for value in row])
                for number, row in enumerate(sheet.iter_rows(values_only=True), 1)
            )
            rows = tuple(named_rows(lines))
            if rows:
                sections.append(Section((sheet.title,), rows=rows))
        return LoadedDocument(str(book.properties.title or ""), tuple(sections))
    finally:
        book.close()
