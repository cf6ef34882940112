"""Values made fit for JSON and for both databases."""

import math
from typing import Annotated, Any

from pydantic import Field

from core.errors import InvalidInput

LONGEST_LINE = 4000

LARGEST_NUMBER = 2**31 - 1
"""What an integer column holds on PostgreSQL; nothing here counts so far."""

Id = Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]
"""The number of a row, as a route or a request's body takes it."""


def whole(value: Any, what: str) -> int:
    """Return a whole number that every database can hold.

    Args:
        value: as a page or a program sent it.
        what: the thing it numbers or counts, for the message.

    Raises:
        InvalidInput: no number, not a whole one, or too large.
    """
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    exact = not isinstance(value, float) or number == value
    if number is None or abs(number) > LARGEST_NUMBER or not exact:
        shown = storable(repr(value), 40) if isinstance(value, str | float) else "This value"
        raise InvalidInput(f"{shown} is no {what} here. Choose it again on the page.")
    return number


def wholes(values: Any, what: str) -> tuple[int, ...]:
    """Return the whole numbers of a list; nothing is an empty one.

    Raises:
        InvalidInput: no list, or `whole` refuses one of them.
    """
    if not isinstance(values, list | tuple | None):
        raise InvalidInput(f"A list of numbers is needed to know which {what} is meant.")
    return tuple(whole(one, what) for one in values or ())


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
