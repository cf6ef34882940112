"""Word and Excel."""

import html
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docx
import openpyxl
from docx.oxml.ns import qn
from openpyxl.worksheet._reader import WorkSheetParser

from retrieval.loading.guard import Meter, Unreadable
from retrieval.loading.model import LoadedDocument, Section, SectionBuilder
from retrieval.loading.plain import named_rows

LAST_ROW, LAST_COLUMN = 1_048_576, 16_384
MOST_CELLS = 5_000_000
LONGEST_ENTITY = 1000
NESTED = re.compile(r"%|&(?!(?:amp|lt|gt|quot|apos|#\w+);)")
TAG = re.compile(r"<[^<>]*>")


def load_docx(content: bytes) -> LoadedDocument:
    """Paragraphs in reading order, headings by style, tables as `| a | b |` lines."""
    document = docx.Document(io.BytesIO(content))
    styles = {style.style_id: str(style.name) for style in document.styles}
    entities = _entities(document.element)
    builder = SectionBuilder()
    for element in _blocks(document.element.body):
        if element.tag == qn("w:tbl"):
            builder.add("\n" + "\n".join(_table_lines(element, entities)) + "\n")
            continue
        text = _text(element, entities)
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


def _entities(root: Any) -> dict[str, str]:
    """What a file's own entities stand for: plain text, or nothing.

    Raises:
        Unreadable: one stands for others or for a long text, by which small files become huge.
    """
    found = {}
    declared = root.getroottree().docinfo.internalDTD
    for entity in declared.iterentities() if declared is not None else ():
        value = html.unescape(entity.content or "")
        if len(value) > LONGEST_ENTITY or NESTED.search(entity.content or ""):
            raise Unreadable(
                f"its entity '{entity.name}' stands for other entities or for a long text: this "
                "looks like an entity bomb. Open it in its own program and save it again."
            )
        found[entity.name] = TAG.sub("", value)
    return found


def _text(element: Any, entities: Mapping[str, str]) -> str:
    pieces = []
    for node in element.iter():
        if node.tag == qn("w:t"):
            pieces.append(_content(node, entities))
        elif node.tag in (qn("w:tab"), qn("w:br"), qn("w:cr")):
            pieces.append(" " if node.tag == qn("w:tab") else "\n")
    return "".join(pieces)


def _content(node: Any, entities: Mapping[str, str]) -> str:
    """All of a node's text: lxml hangs what follows an entity or a comment on that."""
    pieces = [node.text or ""]
    for child in node:
        if isinstance(child.tag, str):
            pieces.append(_content(child, entities))
        else:  # an entity has a name, a comment has none
            pieces.append(entities.get(getattr(child, "name", ""), ""))
        pieces.append(child.tail or "")
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


def _table_lines(table: Any, entities: Mapping[str, str]) -> Iterator[str]:
    for number, row in enumerate(table.iter(qn("w:tr"))):
        if next(row.iterancestors(qn("w:tbl"))) is not table:
            continue  # A table within a cell is already in that cell's text.
        cells = [
            " ".join(" ".join(_text(p, entities) for p in cell.iter(qn("w:p"))).split())
            for cell in row.iter(qn("w:tc"))
            if next(cell.iterancestors(qn("w:tr"))) is row
        ]
        yield "| " + " | ".join(cells) + " |"
        if number == 0:
            yield "|" + " --- |" * len(cells)


def load_xlsx(content: bytes) -> LoadedDocument:
    """One section a sheet, one row a line, each value with its column's name."""
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    meter, cells = Meter(len(content)), _Cells()
    try:
        sections = []
        for sheet in book.worksheets:
            rows = tuple(named_rows(cells.of(sheet), meter))
            if rows:
                sections.append(Section((sheet.title,), rows=rows))
        return LoadedDocument(str(book.properties.title or ""), tuple(sections))
    finally:
        book.close()


@dataclass
class _Cells:
    """Counts the cells of a workbook while it hands them over."""

    count: int = 0

    def of(self, sheet: Any) -> Iterator[tuple[int, dict[int, str]]]:
        """Rows and cells that stand in the file, and no others.

        openpyxl's own walk fills every gap up to the last row and column, which a file of a few
        bytes may set to billions; its parser beneath does not.
        """
        book = sheet.parent
        with sheet._get_source() as source:
            parser = WorkSheetParser(
                source,
                sheet._shared_strings,
                data_only=True,
                epoch=book.epoch,
                date_formats=book._date_formats,
                timedelta_formats=book._timedelta_formats,
            )
            for number, row in parser.parse():
                cells = {c["column"]: str(c["value"]) for c in row if c["value"] is not None}
                self._check(sheet.title, number, cells)
                yield number, cells

    def _check(self, sheet: str, row: int, cells: dict[int, str]) -> None:
        self.count += len(cells)
        if self.count > MOST_CELLS:
            raise Unreadable(f"it has more than {MOST_CELLS:,} cells with values. Split it.")
        column = max(cells, default=1)
        if not 1 <= row <= LAST_ROW or column > LAST_COLUMN:
            raise Unreadable(
                f"the sheet '{sheet}' names row {row:,}, column {column:,}; sheets end at row "
                f"{LAST_ROW:,}, column {LAST_COLUMN:,}. Open it in its own program, save it again."
            )
