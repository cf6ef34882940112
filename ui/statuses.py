"""Which HTTP status an error gets, and how it is told."""

from math import ceil

from fastapi.responses import JSONResponse

from core.errors import (
    AccessDenied,
    Conflict,
    EngineError,
    InhouseError,
    InvalidInput,
    NotFound,
    SignInFailed,
    SignInRequired,
    Stopped,
    StorageError,
    TooManyRequests,
)

_STATUS: list[tuple[type[InhouseError], int]] = [
    (SignInRequired, 401),
    (SignInFailed, 401),
    (AccessDenied, 403),
    (NotFound, 404),
    (Conflict, 409),
    (InvalidInput, 422),
    (TooManyRequests, 429),
    (EngineError, 503),
    (Stopped, 503),
    (StorageError, 507),
]
OURS = 500
"""From here on the fault is not the caller's: it is logged, and the answer carries its id."""


def status_of(error: InhouseError) -> int:
    """Return the HTTP status that fits an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), OURS)


def refusal(status: int, text: str, *, fault: str = "", wait: int = 0) -> JSONResponse:
    """Return an error in the API's shape.

    Args:
        status: of HTTP.
        text: for the person.
        fault: its id in the log, where it is ours.
        wait: seconds after which it is worth trying again; 0: that does not help.
    """
    content = {"error": text, "id": fault} if fault else {"error": text}
    headers = {"retry-after": str(wait)} if wait else None
    return JSONResponse(content, status, headers)


def wait_of(error: InhouseError) -> int:
    """Return the seconds after which it is worth trying again; 0: that does not help."""
    return max(1, ceil(error.retry_after_s)) if isinstance(error, TooManyRequests) else 0


def retry_header(error: InhouseError) -> dict[str, str]:
    """Return the header that tells a program when to come back, where the error knows."""
    wait = wait_of(error)
    return {"retry-after": str(wait)} if wait else {}
