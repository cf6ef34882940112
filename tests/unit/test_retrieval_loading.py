"""Every kind of file, good and bad."""

import io
import zipfile
from collections.abc import Callable

import docx
import openpyxl
import pytest
from fpdf import FPDF
from fpdf.enums import AccessPermission
from pypdf import PdfWriter

from core.errors import DocumentError
from retrieval.discovery import Failure
from retrieval.leftovers import by_reason
from retrieval.loading import LoadedDocument, load_document, media_type_of


def words(document: LoadedDocument) -> str:
    parts = [document.title]
    for section in document.sections:
        parts += [*section.path, section.text, *(row.text for row in section.rows)]
    return "\n".join(parts)


def make_pdf(*pages: str, password: str = "") -> bytes:
    pdf = FPDF()
    pdf.set_font("helvetica", size=12)
    for text in pages:
        pdf.add_page()
        if text:
            pdf.multi_cell(0, 6, text)
    if password:
        pdf.set_encryption(
            owner_password="owner", user_password=password, permissions=AccessPermission.none()
        )
    return bytes(pdf.output())


def make_docx() -> bytes:
    document = docx.Document()
    document.add_heading("Leave", level=1)
    document.add_paragraph("Ask your lead.")
    document.add_heading("Sick leave", level=2)
    document.add_paragraph("Call before ten.", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(
        [*table.rows[0].cells, *table.rows[1].cells], ["Kind", "Days", "Sick", "12"], strict=True
    ):
        cell.text = text
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def make_xlsx() -> bytes:
    book = openpyxl.Workbook()
    first = book.worksheets[0]
    first.title = "Prices"
    lines: list[list[str | float | None]] = [
        ["Item", "Euro"], ["Desk", 300], [None, None], ["Chair", 120.5],
    ]  # fmt: skip
    for line in lines:
        first.append(line)
    book.create_sheet("Empty")
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_markdown_has_title_headings_and_visible_text_only() -> None:
    text = """---
title: Sick leave
---
Ask {% slack_channel "people" %} or see [the form]({% page "/forms/#sick" %}).
{% comment %}hidden{% endcomment %}
{% alert "Read this / first" %}
## How to `call`
![a phone](x.png) [Docs](https://example.org/very/long) <b>now</b>&nbsp;please {{ site.name }}
```yaml
# not a heading
image: {{ .Values.image }}
```
Setext
------
`{% raw %}` stays
"""
    loaded = load_document("a.md", text.encode())
    assert loaded.title == "Sick leave"
    assert [s.path for s in loaded.sections] == [(), ("How to call",), ("Setext",)]
    top, call, setext = (section.text for section in loaded.sections)
    assert "Ask #people or see the form." in top
    assert "Read this / first" in top
    assert "hidden" not in top
    assert "a phone Docs now please" in call
    assert "image: {{ .Values.image }}" in call
    assert "# not a heading" in call
    assert setext == "`{% raw %}` stays"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Only heading\ntext", "Only heading"),
        ("no heading", "my file"),
        ("---\ntitle: Leave: sick\n---\nbody", "Leave: sick"),
        ("---\n- a\n- b\n---\nbody", "my file"),
        ("---\r\ntitle: Windows\r\n---\r\nbody", "Windows"),
    ],
)
def test_title_falls_back(text: str, title: str) -> None:
    assert load_document("my_file.md", text.encode()).title == title


def test_headings_without_text_are_kept() -> None:
    loaded = load_document("a.md", b"# A\n## B\n### C\ntext\n## D\n# E")
    assert [(s.path, s.text) for s in loaded.sections] == [
        (("A", "B", "C"), "text"),
        (("A", "D"), "D"),
        (("E",), "E"),
    ]


def test_html_drops_furniture_and_keeps_tables() -> None:
    page = """<html><head><title>Benefits</title><style>x{}</style></head><body>
    <nav>Menu</nav><header>Top</header><h1>Benefits</h1><p>Every <b>employee</b> has
    health cover.</p><ul><li>Dental</li><li><p>Vision</p></li></ul>
    <table><tr><th>Plan</th><th>Cost</th></tr><tr><td>Gold</td><td>90</td></tr></table>
    <h2>Leave</h2>25 days<script>alert(1)</script><!-- note --><footer>Bottom</footer>"""
    loaded = load_document("a.html", page.encode())
    assert loaded.title == "Benefits"
    assert [s.path for s in loaded.sections] == [("Benefits",), ("Benefits", "Leave")]
    text = loaded.sections[0].text
    assert "Every employee has health cover." in text
    assert "- Dental\n- Vision" in text
    assert "| Plan | Cost |\n| --- | --- |\n| Gold | 90 |" in text
    everything = words(loaded)
    assert not any(gone in everything for gone in ("Menu", "Top", "Bottom", "alert", "note"))


def test_deeply_nested_html_is_read() -> None:
    page = "<div>" * 3000 + "deep words" + "</div>" * 3000
    assert "deep words" in words(load_document("a.html", page.encode()))


def test_pdf_pages_are_named() -> None:
    loaded = load_document("a.pdf", make_pdf("First page text", "", "Third page text"))
    assert [(s.path, s.text) for s in loaded.sections] == [
        (("page 1",), "First page text"),
        (("page 3",), "Third page text"),
    ]


def test_docx_headings_lists_tables() -> None:
    loaded = load_document("a.docx", make_docx())
    assert [s.path for s in loaded.sections] == [("Leave",), ("Leave", "Sick leave")]
    assert "Call before ten." in loaded.sections[1].text
    assert "| Kind | Days |\n| --- | --- |\n| Sick | 12 |" in loaded.sections[1].text


def test_xlsx_rows_carry_their_column_names_and_numbers() -> None:
    (sheet,) = load_document("a.xlsx", make_xlsx()).sections
    assert sheet.path == ("Prices",)
    assert [(row.number, row.text) for row in sheet.rows] == [
        (2, "Item: Desk; Euro: 300"),
        (4, "Item: Chair; Euro: 120.5"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_delimiter_is_sniffed(delimiter: str) -> None:
    lines = [["Name", "Note"], ["Ann", 'says "hi", twice'], ["Bo", "x"]]
    text = "\n".join(
        delimiter.join('"' + cell.replace('"', '""') + '"' for cell in line) for line in lines
    )
    (section,) = load_document("a.csv", text.encode()).sections
    assert section.rows[0].text == 'Name: Ann; Note: says "hi", twice'
    assert section.rows[0].number == 2


def test_csv_keeps_names_of_empty_columns_and_values_without_names() -> None:
    (section,) = load_document("a.csv", b"Name,Phone\nAnn,\nBo,1,extra\n").sections
    assert [row.text for row in section.rows] == [
        "Columns: Name; Phone",
        "Name: Ann",
        "Name: Bo; Phone: 1; column 3: extra",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "utf-32"])
def test_encodings(encoding: str) -> None:
    text = "Überstunden müssen vom Vorgesetzten genehmigt werden, größere Beträge ebenfalls. " * 5
    assert "Überstunden müssen" in words(load_document("a.txt", text.encode(encoding)))


def test_nul_and_surrogates_do_not_reach_the_database() -> None:
    loaded = load_document("a.html", "<p>a&#0;b \ud800</p>".encode("utf-8", "surrogatepass"))
    words(loaded).encode()
    assert "\x00" not in words(loaded)


def zipped(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml"), content)
    return buffer.getvalue()


def blank_pdf() -> bytes:
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600
BAD: list[tuple[str, Callable[[], bytes], str]] = [
    ("a.md", lambda: b"", "empty"),
    ("a.txt", lambda: b" \n\t ", "empty"),
    ("a.png", lambda: b"\x89PNG", "'.png' are not read"),
    ("Makefile", lambda: b"all:", "without an ending"),
    ("a.md", lambda: make_pdf("x"), "the content is a PDF"),
    ("a.pdf", lambda: b"hello there", "the name says PDF"),
    ("a.docx", lambda: b"plain text", "the name says docx"),
    ("a.docx", make_xlsx, "another zip container"),
    ("a.xlsx", lambda: OLE, "old Office document"),
    ("a.docx", lambda: OLE + "EncryptedPackage".encode("utf-16-le"), "password"),
    ("a.docx", lambda: make_docx()[:900], "damaged"),
    ("a.docx", lambda: zipped(word__document_xml=b"<broken"), "damaged"),
    ("a.docx", lambda: zipped(word__document_xml=b"0" * 40_000_000), "zip bomb"),
    ("a.pdf", lambda: make_pdf("secret", password="pw"), "password"),
    ("a.pdf", lambda: make_pdf("some text")[:300], "damaged"),
    ("a.pdf", blank_pdf, "no text, as scans"),
    ("a.txt", lambda: bytes(range(256)) * 20, "binary"),
    ("a.csv", lambda: b"\x00\x01\x02\x03" * 500, "binary"),
    ("a.txt", lambda: b"<!DOCTYPE html><p>x", "web page"),
    ("a.html", lambda: b"no markup here", "no markup"),
    ("a.html", lambda: b"<nav>Menu</nav>", "no text in it"),
    ("a.md", lambda: b"---\ntitle: Stub\n---\n", "no text in it"),
    ("a.csv", lambda: b'a,b\n1,"' + b"x" * 200_000, "cannot be told apart"),
]


@pytest.mark.parametrize(("name", "content", "reason"), BAD, ids=[f"{n}-{r}" for n, _, r in BAD])
def test_bad_files_say_name_reason_and_remedy(
    name: str, content: Callable[[], bytes], reason: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        load_document(name, content())
    message = caught.value.message
    assert message.startswith(f"'{name}'")
    assert reason in message
    assert message.count(".") >= 2  # a remedy follows the reason


def test_media_types() -> None:
    assert media_type_of("x/Y.MD") == "text/markdown"
    assert media_type_of("page.html.md.erb") == "text/markdown"
    assert media_type_of("x.json") is None


def test_what_is_left_out_is_told_by_reason_and_names_what_one_can_mend() -> None:
    found = [failure("logo.png"), failure("a/broken.pdf"), failure("x.woff")]
    found += [failure(f"pictures/{n}.png") for n in range(40)]
    kinds, broken = by_reason(found)
    assert kinds.reason.startswith(
        "files of these kinds are not read: .png (41), .woff (1). Supported are md, txt"
    )
    assert kinds.examples == "logo.png, x.woff, pictures/0.png and 39 more"
    assert broken.paths == ("a/broken.pdf",)
    assert "broken.pdf" not in broken.reason
    (alone,) = by_reason([failure("logo.png")])
    assert alone.reason.startswith("files of the kind '.png' are not read. Supported are")


def failure(path: str) -> Failure:
    """What an ingest says of a file that it cannot read."""
    with pytest.raises(DocumentError) as refused:
        load_document(path, b"\x00 nothing")
    return Failure(path, refused.value.message)
