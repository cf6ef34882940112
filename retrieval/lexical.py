"""Search by words: BM25 (Robertson & Zaragoza 2009; the sparse form of bm25s, Lù 2024)."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import Stemmer  # type: ignore[import-not-found]
from bm25s.stopwords import STOPWORDS_EN
from numpy.typing import NDArray

WORD = re.compile(r"\w+")
STOP_WORDS = frozenset(STOPWORDS_EN)
LONGEST_QUERY_WORDS = 512

Mask = NDArray[np.bool_]


def words_of(text: str) -> list[str]:
    """Lower-cased, without stop words, stemmed as English."""
    folded = unicodedata.normalize("NFKC", text).replace("’", "'").lower()
    found = WORD.findall(folded.replace("'s ", " "))
    stems: list[str] = Stemmer.Stemmer("english").stemWords(
        [word for word in found if word not in STOP_WORDS]
    )
    return stems


class LexicalIndex:
    """BM25 scores of all chunks; the position of a chunk is its row."""

    def __init__(self, ranker: Any) -> None:
        """Wrap a bm25s index; None where no chunk has a word."""
        self._ranker = ranker

    @classmethod
    def build(cls, texts: Sequence[str]) -> "LexicalIndex":
        """Index `texts` in the order given."""
        corpus = [words_of(text) for text in texts]
        if not any(corpus):
            return cls(None)
        ranker = bm25s.BM25(method="lucene")
        ranker.index(corpus, show_progress=False)
        return cls(ranker)

    def save(self, folder: Path) -> None:
        """Write into `folder`; nothing is pickled."""
        if self._ranker is not None:
            self._ranker.save(str(folder), show_progress=False)

    @classmethod
    def load(cls, folder: Path) -> "LexicalIndex":
        """Read what `save` wrote."""
        if not (folder / "params.index.json").exists():
            return cls(None)
        return cls(bm25s.BM25.load(str(folder), show_progress=False, allow_pickle=False))

    def search(self, query: str, limit: int, allowed: Mask) -> list[int]:
        """Positions of the best chunks that share a word with `query`, best first.

        Args:
            query: as a person wrote it.
            limit: most positions returned.
            allowed: (n,) True where the reader may read; others take no part.
        """
        if self._ranker is None:
            return []
        words = words_of(query)[:LONGEST_QUERY_WORDS]
        ids = self._ranker.get_tokens_ids(words)
        if not ids:
            return []
        scores = self._ranker.get_scores_from_ids(ids, weight_mask=allowed.astype(np.float32))
        # A stable sort, so that equal scores keep reading order on every machine.
        order = np.argsort(-scores, kind="stable")[:limit]
        return [int(position) for position in order if scores[position] > 0]
