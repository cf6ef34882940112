"""Files that are small to send and were made to cost whoever reads them."""

import io
import zipfile
import zlib

import docx
import openpyxl

SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def repeated(text: str, size: int) -> bytes:
    return (text * (size // len(text) + 1))[:size].encode()


def with_part(container: bytes, part: str, content: bytes) -> bytes:
    """The same docx or xlsx with one part replaced or added."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(container)) as before,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as after,
    ):
        for entry in before.infolist():
            if entry.filename != part:
                after.writestr(entry, before.read(entry))
        after.writestr(part, content)
    return buffer.getvalue()


def part_of(container: bytes, part: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(container)) as archive:
        return archive.read(part)


def docx_of(text: str, declared: str = "") -> bytes:
    """A Word file of one paragraph, whose text is written into its XML as it is."""
    document = docx.Document()
    document.add_paragraph("PLACE")
    buffer = io.BytesIO()
    document.save(buffer)
    xml = part_of(buffer.getvalue(), "word/document.xml").decode()
    head, body = xml.split("?>", 1)
    doctype = f"<!DOCTYPE w:document [{declared}]>" if declared else ""
    body = body.replace("PLACE", text)
    return with_part(buffer.getvalue(), "word/document.xml", f"{head}?>{doctype}{body}".encode())


def xlsx_of(rows: str, shared: str = "") -> bytes:
    """A workbook whose one sheet has these rows, written into its XML as they are."""
    book = openpyxl.Workbook()
    book.worksheets[0].append(["x"])
    buffer = io.BytesIO()
    book.save(buffer)
    sheet = f'<worksheet xmlns="{SHEET}"><sheetData>{rows}</sheetData></worksheet>'
    made = with_part(buffer.getvalue(), "xl/worksheets/sheet1.xml", sheet.encode())
    if shared:
        strings = f'<sst xmlns="{SHEET}">{shared}</sst>'
        made = with_part(made, "xl/sharedStrings.xml", strings.encode())
    return made


def pdf_of(pages: int, content: bytes, *, kids: str = "") -> bytes:
    """A PDF whose pages all show one compressed stream."""
    stream = zlib.compress(content, 9)
    names = kids or " ".join(["3 0 R"] * pages)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{names}] /Count {pages} >>".encode(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 6\n0000000000 65535 f \n"
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(out + b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % start)
