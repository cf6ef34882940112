"""Files to text: one small loader a format, one door for all."""

from retrieval.loading.door import load_document, media_type_of
from retrieval.loading.model import LoadedDocument, Row, Section

__all__ = ["LoadedDocument", "Row", "Section", "load_document", "media_type_of"]
