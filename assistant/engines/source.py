"""Which language model an installation runs, and where its files lie. Loads nothing heavy."""

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from assistant.engines.embedded import EMBEDDED_NAME, embedded_folder, embedded_gguf
from core.errors import EngineError
from core.libraries import prepare_libraries
from core.settings import Settings
from core.workspace import Workspace

_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "tokenizer.model"]
_LONGEST_HEADER = 100_000_000
"""Bytes of a safetensors header, as the format limits it."""
_SAMPLE = 65536
"""Bytes read of a weight file, thrice: hashing 14 GB at every start would take a minute."""


@dataclass(frozen=True)
class ModelSource:
    """A model on this machine."""

    name: str
    folder: Path
    """Holds config.json, *.safetensors and the tokenizer."""
    hash: str
    """Identity of the weights; an adapter fits only the base that it was trained on."""


def locate_model(settings: Settings, workspace: Workspace) -> ModelSource:
    """Find, and if allowed fetch, the model of `settings.model`.

    Raises:
        EngineError: it is not there, or not in a form that may be loaded; with the remedy.
    """
    prepare_libraries(allow_downloads=settings.allow_downloads)
    if settings.model == "embedded":
        folder = embedded_folder(workspace.models)
        return ModelSource(EMBEDDED_NAME, folder, embedded_hash())
    folder = Path(settings.model).expanduser()
    name = folder.name
    if not folder.is_dir():
        name = settings.model
        folder = _hub_folder(settings)
    _check_folder(folder, settings.model)
    return ModelSource(name, folder, fingerprint(folder.glob("*.safetensors")))


def embedded_hash() -> str:
    """`ModelSource.hash` of the embedded model, without converting it.

    Taken of the file as shipped: a newer converter may lay the same weights out differently.

    Raises:
        EngineError: its package is not installed.
    """
    return fingerprint([embedded_gguf()])


def fingerprint(files: Iterable[Path]) -> str:
    """SHA-256 over each weight file's name and size, and 64 KiB of its start, middle and end.

    Weight files open with the name, type and place of every tensor, so another architecture or
    precision changes the hash, and so does training, which moves every weight.
    """
    digest = hashlib.sha256()
    for file in sorted(files):
        size = file.stat().st_size
        digest.update(json.dumps([file.name, size]).encode())
        with file.open("rb") as handle:
            for start in (0, size // 2, max(0, size - _SAMPLE)):
                handle.seek(start)
                digest.update(handle.read(_SAMPLE))
    return digest.hexdigest()


def local_folder(settings: Settings) -> Path | None:
    """Where the files of a named model lie on this machine, None if they are not here (yet)."""
    folder = Path(settings.model).expanduser()
    if folder.is_dir():
        return folder
    prepare_libraries(allow_downloads=settings.allow_downloads)
    try:
        return _hub_folder(settings.model_copy(update={"allow_downloads": False}))
    except EngineError:
        return None


def count_parameters(folder: Path) -> int | None:
    """Count the numbers in a folder's safetensors files from their headers; loads nothing.

    None where they are packed, damaged or not there.
    """
    total = 0
    for file in folder.glob("*.safetensors"):
        try:
            with file.open("rb") as handle:
                length = int.from_bytes(handle.read(8), "little")
                header = json.loads(handle.read(min(length, _LONGEST_HEADER)))
            tensors = [one for name, one in header.items() if name != "__metadata__"]
            if any(one["dtype"] in ("U8", "I8") for one in tensors):
                return None
            total += sum(math.prod(one["shape"]) for one in tensors)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
    return total or None


def context_of(folder: Path) -> int | None:
    """Longest prompt plus answer as config.json says it, in tokens; None where it does not."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        found = config.get("text_config", config).get("max_position_embeddings")
        return int(found) if found else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _hub_folder(settings: Settings) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                settings.model,
                allow_patterns=_FILES,
                local_files_only=not settings.allow_downloads,
            )
        )
    except (OSError, ValueError) as error:
        remedy = (
            "Check the spelling and the connection."
            if settings.allow_downloads
            else "Name a folder that holds the model, 'embedded', or allow one download with "
            "INHOUSE_ALLOW_DOWNLOADS=true."
        )
        raise EngineError(
            f"The language model '{settings.model}' (INHOUSE_MODEL) is neither a folder here "
            f"nor in the local Hugging Face cache. {remedy}"
        ) from error


def _check_folder(folder: Path, given: str) -> None:
    if not (folder / "config.json").is_file():
        raise EngineError(
            f"The language model '{given}' (INHOUSE_MODEL) has no config.json in '{folder}'. "
            "Name the folder that `save_pretrained` wrote, or a Hugging Face id."
        )
    if not any(folder.glob("*.safetensors")):
        raise EngineError(
            f"The language model '{given}' (INHOUSE_MODEL) has no *.safetensors in '{folder}'. "
            "Pickled weights are never loaded: convert them to safetensors first."
        )
