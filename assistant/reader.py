"""The built-in reader: an adapter that comes with the product and answers from passages."""

from pathlib import Path

from assistant.engines.source import embedded_hash
from assistant.manifest import MANIFEST, AdapterInfo, read_adapter
from assistant.quoting import NAME as QUOTATION
from core.errors import EngineError, SettingsError
from core.settings import Settings

BUILTIN = Path(__file__).parent / "builtin" / "reader"
NAME = "built-in-reader"
"""Its name on the shelf; no other adapter may bear it."""
READ_BY = {NAME: "read by the built-in reader", QUOTATION: "quoted, without a language model"}
"""What is said beside an answer of the mode `rag` that is not the plain model's."""


def builtin_reader(base_model_hash: str, folder: Path = BUILTIN) -> AdapterInfo | None:
    """Return the built-in reader, or None where it does not serve the model that runs.

    Args:
        base_model_hash: `ModelSource.hash` of that model; the reader fits the embedded one only.
        folder: where the adapter's files lie.
    """
    info = read_adapter(folder, NAME, built_in=True)
    if info.manifest is None or info.manifest.base_model_hash != base_model_hash:
        return None
    return info


def fitting_reader(settings: Settings, folder: Path = BUILTIN) -> AdapterInfo | None:
    """Return the built-in reader where the embedded model runs and is the one it was made for."""
    if settings.model != "embedded":
        return None
    try:
        return builtin_reader(embedded_hash(), folder)
    except EngineError:
        # Without its package the model cannot run; who asks it is told so.
        return None


def serving_reader(settings: Settings, folder: Path = BUILTIN) -> AdapterInfo | None:
    """Return what answers the mode `rag`: the built-in reader, or None for the plain model.

    Raises:
        SettingsError: the settings want the reader, and it is not there, damaged, or made for
            another model.
    """
    if settings.rag_reader != "builtin":
        return None
    reader = fitting_reader(settings, folder)
    if reader is not None and reader.problem is None:
        return reader
    remedy = f"train one with `python -m training reader --output {folder}`"
    if settings.model != "embedded":
        reason = f"was made for the embedded model, and INHOUSE_MODEL={settings.model} is another"
        remedy = "set INHOUSE_MODEL=embedded"
    elif not (folder / MANIFEST).is_file():
        reason = f"is not in '{folder}'"
    elif problem := read_adapter(folder, NAME, built_in=True).problem:
        reason = f"in '{folder}' is damaged: {problem.rstrip('.')}"
    else:
        reason = f"in '{folder}' was made for other weights than those of the embedded model here"
    raise SettingsError(
        f"INHOUSE_RAG_READER=builtin, but the built-in reader {reason}. "
        f"Set INHOUSE_RAG_READER=off, or {remedy}."
    )
