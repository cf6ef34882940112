"""Vectors of many texts, kept on disk: what was embedded once is not embedded again."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.errors import Stopped
from core.progress import Progress
from core.workspace import write_atomically
from retrieval.passages import Array, Embedder

SLICE = 512
"""Texts of a file: as much as an interruption can lose."""


class CachedEmbedder:
    """An embedder that says how far it is, stops when asked, and goes on where it stopped."""

    def __init__(self, inner: Embedder, folder: Path, progress: Progress) -> None:
        """Keep the vectors in `folder`, which is made if it is not there."""
        self._inner, self._folder, self._progress = inner, folder, progress
        folder.mkdir(exist_ok=True)

    @property
    def name(self) -> str:
        """Identity of model and weights."""
        return self._inner.name

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._inner.dimension

    def count_tokens(self, text: str) -> int:
        """Length of `text` in the embedder's own tokens, without special ones."""
        return self._inner.count_tokens(text)

    def embed(self, texts: Sequence[str]) -> Array:
        """Return (n, dimension) float32 rows of unit length, in the order given.

        Raises:
            Stopped: somebody asked to stop; what was embedded is kept.
        """
        rows = [np.zeros((0, self.dimension), dtype=np.float32)]
        for start in range(0, len(texts), SLICE):
            if self._progress.stop_requested():
                raise Stopped(f"Stopped after {start:,} texts were embedded. They are kept.")
            self._progress.update(start, len(texts), "embedding, to search as the product does")
            rows.append(self._slice(texts[start : start + SLICE]))
        return np.concatenate(rows)

    def _slice(self, texts: Sequence[str]) -> Array:
        digest = hashlib.sha256("\0".join([self.name, *texts]).encode()).hexdigest()
        path = self._folder / f"{digest[:32]}.npy"
        if path.is_file():
            kept: Array = np.load(path)
            return kept
        rows, file = self._inner.embed(texts), io.BytesIO()
        np.save(file, rows)
        write_atomically(path, file.getvalue())
        return rows
