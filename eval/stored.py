"""An evaluation as it is stored, and which of its rows to read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.errors import NotFound
from eval.arms import Plan
from eval.question_sets import questions_from_json
from eval.questions import HeldOutQuestion
from eval.records import EvaluatedRow
from eval.tables import EvaluationRow

NEW, RUNNING, STOPPED, FAILED, DONE = "new", "running", "stopped", "failed", "done"


@dataclass(frozen=True)
class Evaluation:
    """One scoring of modes on questions."""

    id: int
    title: str
    state: str
    """new, running, stopped, failed (see `error`) or done."""
    plan: Plan
    questions: tuple[HeldOutQuestion, ...]
    question_sets: tuple[dict[str, Any], ...]
    """id, name and version of the sets it was made from."""
    arms: tuple[dict[str, Any], ...]
    """name, label, mode, adapter, oracle, configuration, hash; empty until it first ran."""
    summary: dict[str, Any] | None
    """See docs/eval-schema.md; None until done."""
    warnings: tuple[str, ...]
    """What a reader of the report should know: lost evidence, weak questions."""
    error: str
    account_id: int | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class RowFilter:
    """Which rows to read; empty fields let everything through."""

    arm: str = ""
    kind: str = ""
    diagnosis: str = ""
    tag: str = ""
    text: str = ""
    """Stands in the question or the answer, any case."""

    def passes(self, row: EvaluatedRow) -> bool:
        """Tell whether a row is wanted."""
        said = row.answer["text"] if row.answer else row.error
        return (
            self.arm in ("", row.arm)
            and self.kind in ("", row.question.kind)
            and self.diagnosis in ("", row.diagnosis)
            and (not self.tag or self.tag in row.question.tags)
            and self.text.casefold() in f"{row.question.question}\n{said}".casefold()
        )


def present(row: EvaluationRow | None, evaluation_id: int) -> EvaluationRow:
    """Return the row, or raise `NotFound`."""
    if row is None:
        raise NotFound(
            f"There is no evaluation {evaluation_id}. List them with `python -m eval list`."
        )
    return row


def from_row(row: EvaluationRow) -> Evaluation:
    """Read a stored evaluation."""
    return Evaluation(
        id=row.id,
        title=row.title,
        state=row.state,
        plan=Plan.from_json(row.plan),
        questions=tuple(questions_from_json(row.questions)),
        question_sets=tuple(row.question_sets),
        arms=tuple(row.arms),
        summary=row.summary,
        warnings=tuple(row.warnings),
        error=row.error,
        account_id=row.account_id,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
