"""Puts the parts together."""

from dataclasses import dataclass, field, replace

from core.home import Home
from core.loading import Loading
from core.permissions import Reader
from core.settings import Settings
from retrieval.embedding import open_embedder
from retrieval.evidence_service import with_evidence
from retrieval.index import IndexStore
from retrieval.ingest import Ingestor
from retrieval.library import Library
from retrieval.passages import Embedder, Passage, Quoter, Retriever
from retrieval.search import HybridRetriever

_ANYTHING = "Where does the company say this?"


@dataclass(frozen=True)
class Retrieval:
    """All that other packages need."""

    library: Library
    ingestor: Ingestor
    retriever: Retriever
    embedder: Embedder
    whole: Retriever
    """Returns whole chunks, whatever `retriever` makes of them."""
    loading: Loading = field(default_factory=Loading)

    def load(self) -> None:
        """Bring into memory what searching needs, so that the first question finds it there."""
        self.embedder.embed([_ANYTHING])
        self.retriever.search(_ANYTHING, limit=1, reader=Reader())
        if isinstance(self.retriever, Quoter):
            # The search need not have found anything that was worth judging.
            sample = Passage(0, 0, "", "", "", _ANYTHING, 0.0)
            self.retriever.best_sentences(_ANYTHING, [sample], 1)

    def under(self, settings: Settings) -> "Retrieval":
        """Return the same documents, searched as `settings` say."""
        return replace(
            self, retriever=with_evidence(self.whole, self.embedder, settings, self.loading)
        )


def open_retrieval(home: Home, embedder: Embedder | None = None) -> Retrieval:
    """Compose the services of one installation; the model is loaded at its first use.

    Raises:
        EngineError: the embedder of the settings is not there.
    """
    embedder = embedder or open_embedder(home.settings, home.loading)
    library = Library(home.database, home.workspace)
    ingestor = Ingestor(home.database, home.workspace, home.settings, embedder, library)
    store = IndexStore(home.database, home.workspace.index, embedder)
    whole = HybridRetriever(home.database, store, embedder)
    retriever = with_evidence(whole, embedder, home.settings, home.loading)
    return Retrieval(library, ingestor, retriever, embedder, whole, home.loading)
