"""Puts the parts together."""

from dataclasses import dataclass, replace

from core.home import Home
from core.settings import Settings
from retrieval.embedding import open_embedder
from retrieval.evidence_service import with_evidence
from retrieval.index import IndexStore
from retrieval.ingest import Ingestor
from retrieval.library import Library
from retrieval.passages import Embedder, Retriever
from retrieval.search import HybridRetriever


@dataclass(frozen=True)
class Retrieval:
    """All that other packages need."""

    library: Library
    ingestor: Ingestor
    retriever: Retriever
    embedder: Embedder
    whole: Retriever
    """Returns whole chunks, whatever `retriever` makes of them."""

    def under(self, settings: Settings) -> "Retrieval":
        """Return the same documents, searched as `settings` say."""
        return replace(self, retriever=with_evidence(self.whole, self.embedder, settings))


def open_retrieval(home: Home, embedder: Embedder | None = None) -> Retrieval:
    """Compose the services of one installation; the model is loaded at its first use.

    Raises:
        EngineError: the embedder of the settings is not there.
    """
    embedder = embedder or open_embedder(home.settings)
    library = Library(home.database, home.workspace)
    ingestor = Ingestor(home.database, home.workspace, home.settings, embedder, library)
    store = IndexStore(home.database, home.workspace.index, embedder)
    whole = HybridRetriever(home.database, store, embedder)
    retriever = with_evidence(whole, embedder, home.settings)
    return Retrieval(library, ingestor, retriever, embedder, whole)
