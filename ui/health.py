"""For whoever watches the app: does it live, and would a question be answered at once?"""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from ui.readiness import Readiness


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
        state, text = "loading", "The language model is being loaded. Questions wait until it is."
        if readiness.problem:
            # Nobody has signed in here: what exactly is wrong is told to whoever asks a question.
            state, text = "failed", "The language model cannot be loaded. The log says why."
        return JSONResponse({"status": state, "error": text}, 503, {"retry-after": "1"})

    return router
