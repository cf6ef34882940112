"""The job kind "ingest": `python -m retrieval.jobs --job ID --workspace DIR`."""

from pathlib import Path
from typing import Any

from core.home import Home
from core.job_child import run_child
from core.progress import Progress
from core.workspace import remove_folder
from retrieval.ingest_report import IngestReport
from retrieval.origins import SameName
from retrieval.service import open_retrieval


def handle(home: Home, payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Ingest `payload["paths"]` for `payload["groups"]`; the result is the report as JSON.

    Uploaded copies are removed once they are stored: a document deleted later must be gone.
    Whatever fails before keeps them, so that the job can be tried again.
    """
    paths = [Path(path) for path in payload["paths"]]
    groups = payload.get("groups") or ()
    if not all(home.workspace.uploads in path.resolve().parents for path in paths):
        ingestor = open_retrieval(home).ingestor
        return ingestor.ingest(paths, groups=groups, progress=progress).as_json()
    left = [path for path in paths if path.is_dir()]
    if not left:
        # The process was killed between removing them and saying that it was done.
        return IngestReport(notes=["The files of this upload were read before."]).as_json()
    report = open_retrieval(home).ingestor.ingest_uploads(
        left,
        groups=groups,
        same_name=SameName(payload.get("same_name", SameName.KEEP_BOTH)),
        progress=progress,
    )
    for path in left:
        remove_folder(path)
    return report.as_json()


if __name__ == "__main__":
    raise SystemExit(run_child(handle))
