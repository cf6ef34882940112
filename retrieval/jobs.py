"""The job kind "ingest": `python -m retrieval.jobs --job ID --workspace DIR`."""

from pathlib import Path
from typing import Any

from core.home import Home
from core.job_child import run_child
from core.progress import Progress
from retrieval.service import open_retrieval


def handle(home: Home, payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Ingest `payload["paths"]` for `payload["groups"]`; the result is the report as JSON."""
    report = open_retrieval(home).ingestor.ingest(
        [Path(path) for path in payload["paths"]],
        groups=payload.get("groups") or (),
        progress=progress,
    )
    return report.as_json()


if __name__ == "__main__":
    raise SystemExit(run_child(handle))
