"""PDF."""

import io
import logging

from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError, PdfReadError

from retrieval.loading.guard import Meter, Unreadable
from retrieval.loading.model import LoadedDocument, Section

LETTERS_A_PAGE = 3

# It warns of every oddity that it can read past; people would take these for failures.
logging.getLogger("pypdf").setLevel(logging.ERROR)


def load_pdf(content: bytes) -> LoadedDocument:
    """Each page is a section named 'page N'.

    Raises:
        Unreadable: protected by a password, damaged, or scanned (pictures without text).
    """
    try:
        reader = PdfReader(io.BytesIO(content))
        # Many PDFs are encrypted with an empty owner password and open for everyone.
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable(
                "the file is protected by a password. Save a copy without password and use that."
            )
        meter = Meter(len(content))
        pages = [meter.passed(page.extract_text().strip()) for page in reader.pages]
        title = str((reader.metadata.title if reader.metadata else "") or "")
    except FileNotDecryptedError as error:
        raise Unreadable(
            "the file is protected by a password. Save a copy without password and use that."
        ) from error
    except PdfReadError as error:
        raise Unreadable(
            f"the PDF is damaged ({error}). Open it in its own program and save it again."
        ) from error
    if sum(len(page) for page in pages) < LETTERS_A_PAGE * max(1, len(pages)):
        raise Unreadable(
            f"its {len(pages)} pages hold pictures but no text, as scans do. "
            "Run it through text recognition (OCR) and use the result."
        )
    sections = tuple(
        Section((f"page {number}",), text, fixed=True)
        for number, text in enumerate(pages, 1)
        if text
    )
    return LoadedDocument(title, sections)
