"""Values made fit for JSON and for both databases."""

import math
from typing import Any

LONGEST_LINE = 4000


def plain(value: Any) -> Any:
    """Copy a JSON value; NaN and infinities, which JSON does not know, become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def storable(text: str, longest: int = LONGEST_LINE) -> str:
    """Cut `text` and replace what a database refuses: NUL and halves of surrogate pairs."""
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return text.encode("utf-8", "replace").decode("utf-8")
