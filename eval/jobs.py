"""The child process of the job kind 'evaluate': payload {"evaluation_id": id}."""

from typing import Any

from core.home import Home
from core.job_child import run_child
from core.progress import Progress
from eval.allocation import keep_freed_memory
from eval.evaluations import Evaluations


def handle(home: Home, payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Run or resume an evaluation; returns its id, verdict and report for the job's result."""
    evaluations = Evaluations(home)
    evaluation_id = int(payload["evaluation_id"])
    keep_freed_memory()
    summary = evaluations.run(evaluation_id, progress)
    return {
        "evaluation_id": evaluation_id,
        "headline": summary["recommendation"]["headline"],
        "report": str(evaluations.report_path(evaluation_id)),
    }


if __name__ == "__main__":
    raise SystemExit(run_child(handle))
