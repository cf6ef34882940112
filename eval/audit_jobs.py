"""The child process of the job kind 'audit': payload {"audit_id": id}."""

from typing import Any

from core.home import Home
from core.job_child import run_child
from core.progress import Progress
from eval.audit import Audits


def handle(home: Home, payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Run or resume an audit; returns its id and report for the job's result."""
    audits, number = Audits(home), int(payload["audit_id"])
    audits.run(number, progress)
    return {"audit_id": number, "report": str(audits.report_path(number))}


if __name__ == "__main__":
    raise SystemExit(run_child(handle))
