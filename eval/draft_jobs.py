"""The child process of the job kind 'draft': payload {"documents": ids, "count": n}."""

from typing import Any

from assistant.service import open_model
from core.home import Home
from core.job_child import JobProgress, run_child
from eval.drafts import DraftPlan, Drafts


def handle(home: Home, payload: dict[str, Any], progress: JobProgress) -> dict[str, Any]:
    """Propose questions, or go on with it; returns what was tried, kept and dropped, and why."""
    plan = DraftPlan.from_json(payload)
    return Drafts(home, open_model).run(plan, progress, progress.job_id)


if __name__ == "__main__":
    raise SystemExit(run_child(handle))
