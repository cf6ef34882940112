"""What is refused before a parser sees it."""

import io
import zipfile
from dataclasses import dataclass

LARGEST_UNPACKED = 512 * 1024 * 1024
LARGEST_RATIO = 200
RATIO_MATTERS_FROM = 16 * 1024 * 1024
MOST_TEXT = 10_000_000
"""Characters that any file may give; a larger file may give more, in proportion."""
TEXT_A_BYTE = 20

BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
SIGNATURES = (
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a zip container (as docx and xlsx are)"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"\x1f\x8b", "gzip data"),
    (b"{\\rtf", "an RTF document"),
    (b"SQLite format 3", "a SQLite database"),
    (b"\x7fELF", "a program"),
)
OFFICE_PARTS = {"docx": "word/document.xml", "xlsx": "xl/workbook.xml"}
TEXT_KINDS = {"md", "markdown", "mdx", "txt", "csv", "html", "htm"}


class Unreadable(Exception):
    """Why a file cannot be read, and the remedy."""


@dataclass
class Meter:
    """Adds up the text of a file that may say one thing many times, as tables and pages may."""

    size: int
    """The file's bytes."""
    characters: int = 0

    def passed(self, text: str) -> str:
        """Return `text`, unless there is too much by now.

        Raises:
            Unreadable: the text has swollen out of all proportion to the file.
        """
        self.characters += len(text)
        most = MOST_TEXT + TEXT_A_BYTE * self.size
        if self.characters > most:
            raise Unreadable(
                f"its {self.size / 1e6:,.1f} MB hold more than {most / 1e6:,.0f} million "
                "characters, as one text repeated many times. Split it, or remove what repeats."
            )
        return text


def check_content(kind: str, content: bytes) -> None:
    """Refuse an empty file and one whose content is of another kind than its ending says.

    Args:
        kind: the ending without its dot.
        content: the file's bytes.

    Raises:
        Unreadable: with reason and remedy.
    """
    if not content.strip():
        raise Unreadable("the file is empty. Leave it out, or fill it.")
    if kind in OFFICE_PARTS:
        _check_office(kind, content)
    elif kind == "pdf":
        if b"%PDF-" not in content[:1024]:
            raise _mismatch("PDF", content)
    elif kind in TEXT_KINDS:
        _check_text(kind, content)


def _mismatch(kind: str, content: bytes) -> Unreadable:
    found = next(
        (what for magic, what in SIGNATURES if content.startswith(magic)), "something else"
    )
    return Unreadable(
        f"the name says {kind}, the content is {found}. Give the file the ending of what it is."
    )


def _check_text(kind: str, content: bytes) -> None:
    if any(content.startswith(magic) for magic, _ in SIGNATURES):
        raise _mismatch(kind, content)
    start = content[:2000].lower()
    if kind not in {"html", "htm"} and start.lstrip().startswith((b"<!doctype html", b"<html")):
        raise Unreadable(
            f"the name says {kind}, the content is a web page. Give the file the ending .html."
        )
    if kind in {"html", "htm"} and b"<" not in content.replace(b"\x00", b""):
        raise Unreadable(
            f"the name says {kind}, but there is no markup in it. Give the file the ending .txt."
        )


def _check_office(kind: str, content: bytes) -> None:
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        if "EncryptedPackage".encode("utf-16-le") in content:
            raise Unreadable(
                "the file is protected by a password. Save a copy without password and use that."
            )
        raise Unreadable(
            f"the name says {kind}, the content is an old Office document. "
            f"Open it in its own program and save it as .{kind}."
        )
    if not content.startswith(b"PK"):
        raise _mismatch(kind, content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_archive(kind, archive, len(content))
    except zipfile.BadZipFile as error:
        raise Unreadable(
            f"the file is damaged or cut off ({error}). "
            "Open it in its own program and save it again."
        ) from error


def _check_archive(kind: str, archive: zipfile.ZipFile, packed: int) -> None:
    if OFFICE_PARTS[kind] not in archive.namelist():
        raise Unreadable(
            f"the name says {kind}, the content is another zip container. "
            "Give the file the ending of what it is."
        )
    unpacked = sum(entry.file_size for entry in archive.infolist())
    bloated = unpacked > RATIO_MATTERS_FROM and unpacked > LARGEST_RATIO * packed
    if unpacked > LARGEST_UNPACKED or bloated:
        raise Unreadable(
            f"unpacked it would take {unpacked / 1e6:,.0f} MB from {packed / 1e6:,.1f} MB: "
            "this looks like a zip bomb. Split the file, or remove what swells it."
        )


def decode(content: bytes) -> str:
    """Text of a file in whatever encoding it has: its mark, else UTF-8, else the likeliest.

    Raises:
        Unreadable: binary, or in no known encoding.
    """
    for mark, encoding in BOMS:
        if content.startswith(mark):
            return _decode_as(content, encoding)
    if b"\x00" not in content:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            return _refuse_control(text)
    from charset_normalizer import from_bytes  # Takes longer to import than most files to read.

    best = from_bytes(content[:200_000]).best()
    if best is None or (b"\x00" in content and not best.encoding.startswith(("utf_16", "utf_32"))):
        raise _binary()
    return _refuse_control(_decode_as(content, best.encoding))


def _decode_as(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise Unreadable(
            f"its text is not valid {encoding} (byte {getattr(error, 'start', 0)}). "
            "Save it again as UTF-8."
        ) from error


def _refuse_control(text: str) -> str:
    sample = text[:20_000]
    control = sum(1 for letter in sample if ord(letter) < 32 and letter not in "\t\n\r\f\v\x1b")
    if control > len(sample) / 100:
        raise _binary()
    return text


def _binary() -> Unreadable:
    return Unreadable(
        "the content is binary, not text. Give the file the ending of what it is, or leave it out."
    )
