"""Writes the demonstration company's PDF and Word documents from `sources/`.

Run `python -m sample.build` after a change; the same sources give the same bytes, because
every date inside the files is fixed. A source `people/travel.docx.md` becomes
`documents/people/travel.docx`.
"""

import io
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import docx
from fpdf import FPDF

SOURCES = Path(__file__).parent / "sources"
DOCUMENTS = Path(__file__).parent / "documents"

_DATE = datetime(2027, 1, 4, 9, 0, tzinfo=UTC)
_AUTHOR = "Asdfg Financial"
_BULLET = re.compile(r"^- (.*)$")
_NUMBERED = re.compile(r"^\d+\. (.*)$")
_HEADING = re.compile(r"^(#{1,3}) (.*)$")


@dataclass(frozen=True)
class Block:
    """One paragraph of a source.

    `style` is 'heading', 'bullet', 'number' or 'text'; `level` is 1 to 3 for headings, for
    numbered lines their place in the list, and otherwise 0.
    """

    style: str
    text: str
    level: int = 0


def parse(source: str) -> Iterator[Block]:
    """Yield the blocks of a source: headings, bullets, numbered lines, paragraphs."""
    number = 0
    for line in (raw.strip() for raw in source.splitlines()):
        if not line:
            continue
        numbered = _NUMBERED.match(line)
        number = number + 1 if numbered else 0
        if heading := _HEADING.match(line):
            yield Block("heading", heading[2], len(heading[1]))
        elif bullet := _BULLET.match(line):
            yield Block("bullet", bullet[1])
        elif numbered:
            yield Block("number", numbered[1], number)
        else:
            yield Block("text", line)


def as_pdf(source: str) -> bytes:
    """Set a source as a PDF in the core fonts, so that nothing is embedded."""
    pdf = FPDF(format="A4")
    pdf.set_creation_date(_DATE)
    pdf.set_author(_AUTHOR)
    pdf.set_margins(22, 20, 22)
    pdf.set_auto_page_break(auto=True, margin=20)
    pdf.add_page()
    for block in parse(source):
        if block.style == "heading":
            if block.level == 1:
                pdf.set_title(block.text)
            pdf.ln(2 if block.level == 1 else 4)
            pdf.set_font("helvetica", style="B", size={1: 18, 2: 13, 3: 11}[block.level])
        else:
            pdf.set_font("helvetica", size=11)
        mark = {"bullet": "- ", "number": f"{block.level}. "}.get(block.style, "")
        height = 6 if block.level == 0 or block.style == "number" else 9
        pdf.multi_cell(0, height, mark + block.text, align="L", new_x="LMARGIN", new_y="NEXT")
        pdf.ln(1)
    return bytes(pdf.output())


def as_docx(source: str) -> bytes:
    """Set a source as a Word document with real heading and list styles."""
    document = docx.Document()
    about = document.core_properties
    about.author = about.last_modified_by = _AUTHOR
    about.created = about.modified = _DATE
    about.comments = ""
    styles = {"bullet": "List Bullet", "number": "List Number"}
    for block in parse(source):
        if block.style == "heading":
            if block.level == 1:
                about.title = block.text
            document.add_heading(block.text, level=block.level)
        else:
            document.add_paragraph(block.text, style=styles.get(block.style))
    written = io.BytesIO()
    document.save(written)
    return _with_fixed_dates(written.getvalue())


def _with_fixed_dates(archive: bytes) -> bytes:
    """Repack a zip archive so that its members carry `_DATE` and not the clock's time."""
    repacked = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as old,
        zipfile.ZipFile(repacked, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.infolist():
            fixed = zipfile.ZipInfo(member.filename, date_time=_DATE.timetuple()[:6])
            fixed.compress_type = zipfile.ZIP_DEFLATED
            fixed.create_system = 0
            new.writestr(fixed, old.read(member))
    return repacked.getvalue()


def rendered() -> Iterator[tuple[Path, bytes]]:
    """Yield each built document: path relative to the documents folder, and bytes."""
    render = {".pdf": as_pdf, ".docx": as_docx}
    for source in sorted(SOURCES.rglob("*.md")):
        target = source.relative_to(SOURCES).with_suffix("")
        yield target, render[target.suffix](source.read_text("utf-8"))


def main() -> int:
    """Write every built document and name it."""
    for relative, content in rendered():
        target = DOCUMENTS / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        sys.stdout.write(f"{relative} {len(content)} bytes\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
