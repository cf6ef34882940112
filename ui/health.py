"""For whoever watches the app: does it live, and would a question be answered at once?"""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from ui.readiness import Readiness

_NOT_READY = {
    "loading": "The language model is being loaded. Questions wait until it is there.",
    "failed": "The language model could not be loaded; logs/app.log of the workspace says why. "
    "The next question tries again.",
}
"""Anybody may read it, so it names no reason."""


def health_router(readiness: Readiness) -> APIRouter:
    """Return the routes `/healthz` and `/readyz`, which the API names too."""
    router = APIRouter()

    @router.get("/healthz")
    @router.get("/api/health")
    async def health() -> dict[str, str]:
        # Needs no thread, so that it answers however many are busy.
        return {"status": "ok"}

    @router.get("/readyz")
    @router.get("/api/ready")
    async def ready() -> Response:
        if readiness.ready:
            return JSONResponse({"status": "ready"})
        state = "failed" if readiness.problem else "loading"
        content = {"status": state, "error": _NOT_READY[state]}
        return JSONResponse(content, 503, {"retry-after": "1"})

    return router
