"""Files to text: one small loader a format, one door for all."""

from retrieval.loading.door import load_document, media_type_of
from retrieval.loading.model import LoadedDocument, Row, Section
from retrieval.loading.sandbox import Limits, Sandbox

__all__ = [
    "Limits",
    "LoadedDocument",
    "Row",
    "Sandbox",
    "Section",
    "load_document",
    "media_type_of",
]
