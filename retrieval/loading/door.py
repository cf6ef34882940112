"""The one door: checks a file, picks its loader, explains what is wrong."""

from collections.abc import Callable
from pathlib import PurePosixPath

from core.errors import DocumentError
from retrieval.loading import guard
from retrieval.loading.model import LoadedDocument, Row, Section, clean
from retrieval.loading.plain import load_csv, load_text

Loader = Callable[[bytes], LoadedDocument]


# Each parser is imported when a file of its kind is read: all of them take a second.
def _markdown(content: bytes) -> LoadedDocument:
    from retrieval.loading.markdown import load_markdown

    return load_markdown(content)


def _html(content: bytes) -> LoadedDocument:
    from retrieval.loading.markup import load_html

    return load_html(content)


def _pdf(content: bytes) -> LoadedDocument:
    from retrieval.loading.pages import load_pdf

    return load_pdf(content)


def _docx(content: bytes) -> LoadedDocument:
    from retrieval.loading.office import load_docx

    return load_docx(content)


def _xlsx(content: bytes) -> LoadedDocument:
    from retrieval.loading.office import load_xlsx

    return load_xlsx(content)


MARKDOWN = ("text/markdown", _markdown)
HTML = ("text/html", _html)
LOADERS: dict[str, tuple[str, Loader]] = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".mdx": MARKDOWN,
    ".md.erb": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
    ".html.erb": HTML,
    ".txt": ("text/plain", load_text),
    ".csv": ("text/csv", load_csv),
    ".pdf": ("application/pdf", _pdf),
    ".docx": ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", _docx),
    ".xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", _xlsx),
}
SUPPORTED = "md, txt, html, pdf, docx, csv, xlsx"


def _extension_of(name: str) -> str:
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    double = "".join(suffixes[-2:])
    return double if double in LOADERS else (suffixes[-1] if suffixes else "")


def media_type_of(name: str) -> str | None:
    """The type a file of this name is read as, or None where there is no loader."""
    found = LOADERS.get(_extension_of(name))
    return found[0] if found else None


def load_document(name: str, content: bytes) -> LoadedDocument:
    """Turn a file's bytes into titled sections of text.

    Args:
        name: its path; the ending decides how it is read.
        content: all of its bytes.

    Raises:
        DocumentError: naming the file, what is wrong with it, and the remedy.
    """
    extension = _extension_of(name)
    if extension not in LOADERS:
        raise DocumentError(
            f"'{name}': files of the kind '{extension or 'without an ending'}' are not read. "
            f"Supported are {SUPPORTED}; convert it to one of these."
        )
    try:
        guard.check_content(extension.split(".")[1], content)
        loaded = LOADERS[extension][1](content)
    except guard.Unreadable as problem:
        raise DocumentError(f"'{name}': {problem}") from problem
    except MemoryError:
        raise  # Says nothing about the file: whoever limits memory knows what it means.
    except Exception as error:  # parsers fail on damaged files in any way at all
        raise DocumentError(
            f"'{name}': the file is damaged and cannot be read as {extension} "
            f"({type(error).__name__}). Open it in its own program and save it again."
        ) from error
    loaded = _cleaned(loaded, fallback=PurePosixPath(name).name.removesuffix(extension))
    if loaded.empty:
        raise DocumentError(f"'{name}': there is no text in it. Leave it out, or add its text.")
    return loaded


def _cleaned(loaded: LoadedDocument, fallback: str) -> LoadedDocument:
    sections = tuple(
        Section(
            tuple(clean(heading) for heading in section.path),
            clean(section.text),
            tuple(Row(row.number, clean(row.text)) for row in section.rows),
            section.fixed,
        )
        for section in loaded.sections
    )
    title = " ".join(clean(loaded.title).split())
    return LoadedDocument(title[:300] or fallback.replace("-", " ").replace("_", " "), sections)
