"""The job kind "train": `python -m training.jobs --job ID --workspace DIR`."""

from typing import Any

from core.home import Home
from core.job_child import run_child
from core.progress import Progress
from training.service import execute


def handle(home: Home, payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Train run `payload["run_id"]`, or go on with it; the result is that of the command."""
    return execute(home, int(payload["run_id"]), progress)


if __name__ == "__main__":
    raise SystemExit(run_child(handle))
