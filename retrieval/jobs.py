"""The job kind "ingest": `python -m retrieval.jobs --job ID --workspace DIR`."""

from pathlib import Path
from typing import Any

from core.home import Home
from core.job_child import run_child
from core.progress import Progress
from core.workspace import remove_folder
from retrieval.service import open_retrieval


def handle(home: Home, payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Ingest `payload["paths"]` for `payload["groups"]`; the result is the report as JSON.

    Uploaded copies are removed once they are stored: a document deleted later must be gone.
    """
    paths = [Path(path) for path in payload["paths"]]
    report = open_retrieval(home).ingestor.ingest(
        paths, groups=payload.get("groups") or (), progress=progress
    )
    for path in paths:
        if home.workspace.uploads in path.resolve().parents:
            remove_folder(path)
    return report.as_json()


if __name__ == "__main__":
    raise SystemExit(run_child(handle))
