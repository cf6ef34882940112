"""Opens the evidence finder that the settings name. Torch is imported when it is first needed."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from core.errors import EngineError
from core.loading import Loading, Once
from core.permissions import Reader
from core.settings import Settings
from retrieval.embedding import EMBEDDED_PACKAGE
from retrieval.evidence import EvidenceFinder, EvidenceRetriever
from retrieval.evidence_words import CALIBRATION, WordScorer
from retrieval.passages import Embedder, Passage, Retriever

BUILTIN = Path(__file__).parent / "builtin" / "evidence"


def backbone_folder() -> Path:
    """The embedded embedder's files, which the finder is built on.

    Raises:
        EngineError: its package is not installed.
    """
    found = importlib.util.find_spec(EMBEDDED_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise EngineError(
            f"The package '{EMBEDDED_PACKAGE}' is not installed, and the evidence finder is built "
            "on its model. Run `make install`, or set INHOUSE_EVIDENCE_FINDER=off."
        )
    return Path(found.submodule_search_locations[0]) / "model"


def open_finder(
    embedder: Embedder, weights: Path | None = BUILTIN, loading: Loading | None = None
) -> EvidenceFinder:
    """Open the trained finder in `weights`; without any there, the one that counts words.

    Its `name` tells which it is. The network loads at the first use.

    Raises:
        EngineError: what is there is damaged.
    """
    if weights is None or not weights.is_dir():
        return EvidenceFinder(WordScorer(), embedder.count_tokens, CALIBRATION)
    from retrieval.evidence_model import CrossEncoderScorer

    scorer = CrossEncoderScorer(weights, backbone_folder(), loading)
    return EvidenceFinder(scorer, embedder.count_tokens, scorer.calibration, WordScorer())


def with_evidence(
    retriever: Retriever, embedder: Embedder, settings: Settings, loading: Loading | None = None
) -> Retriever:
    """Return what answers are made from: evidence, or with the finder off, `retriever` itself."""
    if settings.evidence_finder == "off":
        return retriever
    weights = None if settings.evidence_finder == "words" else BUILTIN
    loading = loading or Loading()

    def opened() -> EvidenceRetriever:
        finder = open_finder(embedder, weights, loading)
        return EvidenceRetriever(retriever, finder, settings.finder_tokens, settings.passages)

    return _LazyEvidence(loading.once(opened))


class _LazyEvidence:
    """Opens the finder at the first search, so that starting needs no torch."""

    def __init__(self, opened: Once[EvidenceRetriever]) -> None:
        self._open = opened

    @property
    def version(self) -> str:
        return self._open().version

    @property
    def threshold(self) -> float:
        return self._open().threshold

    def search(self, query: str, *, limit: int, reader: Reader) -> list[Passage]:
        return self._open().search(query, limit=limit, reader=reader)

    def best_sentences(
        self, question: str, passages: Sequence[Passage], count: int
    ) -> list[tuple[int, str]]:
        return self._open().best_sentences(question, passages, count)
