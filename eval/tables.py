"""Tables of this package: question sets, evaluations, answers, scores, gate, watch, audits."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from core.database import Base, UtcDateTime


class QuestionSetRow(Base):
    """A named set in one version; its questions are one JSON list, read and written whole.

    Rows of one name are its versions, numbered from 1. A row is never changed.
    """

    __tablename__ = "eval_question_sets"
    __table_args__ = (sa.UniqueConstraint("name", "number", name="uq_eval_question_sets_number"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    number: Mapped[int]
    version: Mapped[str] = mapped_column(sa.String(64))
    questions: Mapped[list[dict[str, Any]]] = mapped_column(sa.JSON)
    warnings: Mapped[list[str]] = mapped_column(sa.JSON)
    author: Mapped[str] = mapped_column(sa.String(64))
    change: Mapped[str] = mapped_column(sa.String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CandidateRow(Base):
    """A proposed question that waits for a person, or what became of it.

    A refused one keeps nothing but its key, by which it is known and does not come back.
    """

    __tablename__ = "eval_candidates"
    __table_args__ = (
        sa.UniqueConstraint("key", name="uq_eval_candidates_key"),
        sa.Index("ix_eval_candidates_state", "state"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(sa.String(20))
    key: Mapped[str] = mapped_column(sa.String(64))
    state: Mapped[str] = mapped_column(sa.String(20))
    row: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    about: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    job_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    decided_by: Mapped[str] = mapped_column(sa.String(64))


class DraftRow(Base):
    """How far a job that proposes questions has come, so that it goes on there."""

    __tablename__ = "eval_drafts"

    job_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tried: Mapped[list[str]] = mapped_column(sa.JSON)
    tally: Mapped[dict[str, Any]] = mapped_column(sa.JSON)


class EvaluationRow(Base):
    """One scoring of modes on questions. Holds its own copy of the questions."""

    __tablename__ = "eval_evaluations"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    title: Mapped[str] = mapped_column(sa.String(200))
    state: Mapped[str] = mapped_column(sa.String(20))
    plan: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    questions: Mapped[list[dict[str, Any]]] = mapped_column(sa.JSON)
    question_sets: Mapped[list[dict[str, Any]]] = mapped_column(sa.JSON)
    arms: Mapped[list[dict[str, Any]]] = mapped_column(sa.JSON)
    summary: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON)
    warnings: Mapped[list[str]] = mapped_column(sa.JSON)
    error: Mapped[str] = mapped_column(sa.Text)
    account_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    documents: Mapped[list[int] | None] = mapped_column(sa.JSON(none_as_null=True))
    """What the questions were made from; NULL: not known until it is scored."""


class StoredAnswerRow(Base):
    """What one configuration answered to one question; shared by evaluations, never rewritten.

    Only a failed row is tried again, by a later evaluation.
    """

    __tablename__ = "eval_answers"
    __table_args__ = (
        sa.UniqueConstraint("configuration", "question_hash", name="uq_eval_answers_configuration"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    configuration: Mapped[str] = mapped_column(sa.String(64))
    question_hash: Mapped[str] = mapped_column(sa.String(64))
    answer: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON)
    """Its passages without their words; see `retrieval.kept`."""
    documents: Mapped[list[int]] = mapped_column(sa.JSON)
    """Whose words the prompt held."""
    error: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ScoreRow(Base):
    """The measures of one answer in one evaluation; derived, rewritten by re-scoring."""

    __tablename__ = "eval_scores"
    __table_args__ = (
        sa.UniqueConstraint("evaluation_id", "arm", "ordinal", name="uq_eval_scores_row"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    evaluation_id: Mapped[int] = mapped_column(
        sa.ForeignKey(
            "eval_evaluations.id", name="fk_eval_scores_evaluation_id", ondelete="CASCADE"
        )
    )
    arm: Mapped[str] = mapped_column(sa.String(200))
    ordinal: Mapped[int]
    answer_id: Mapped[int] = mapped_column(
        sa.ForeignKey("eval_answers.id", name="fk_eval_scores_answer_id")
    )
    scores: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    diagnosis: Mapped[str] = mapped_column(sa.String(40))


class GateRow(Base):
    """One decision of the gate: who asked, what was found, and why it was overridden."""

    __tablename__ = "eval_gate_decisions"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    adapter: Mapped[str] = mapped_column(sa.String(200))
    allowed: Mapped[bool]
    overridden: Mapped[bool]
    findings: Mapped[list[str]] = mapped_column(sa.JSON)
    reason: Mapped[str] = mapped_column(sa.Text)
    account_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class WatchRow(Base):
    """What is evaluated again by itself, and when: one row, changed by admins."""

    __tablename__ = "eval_watch"

    id: Mapped[int] = mapped_column(primary_key=True)
    question_set_ids: Mapped[list[int]] = mapped_column(sa.JSON)
    modes: Mapped[list[str]] = mapped_column(sa.JSON)
    on_change: Mapped[bool]
    every_days: Mapped[int]
    floors: Mapped[dict[str, float]] = mapped_column(sa.JSON)
    account_id: Mapped[int | None]
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class WatchedRow(Base):
    """One evaluation that was started by itself: why, and on what state of the installation."""

    __tablename__ = "eval_watched"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    evaluation_id: Mapped[int] = mapped_column(
        sa.ForeignKey(
            "eval_evaluations.id", name="fk_eval_watched_evaluation_id", ondelete="CASCADE"
        )
    )
    job_id: Mapped[int | None]
    state: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    reason: Mapped[str] = mapped_column(sa.Text)
    judged: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AlarmRow(Base):
    """A mode that got worse, or is below its floor; open until somebody writes a note."""

    __tablename__ = "eval_alarms"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    evaluation_id: Mapped[int] = mapped_column(
        sa.ForeignKey(
            "eval_evaluations.id", name="fk_eval_alarms_evaluation_id", ondelete="CASCADE"
        )
    )
    before_id: Mapped[int | None]
    mode: Mapped[str] = mapped_column(sa.String(200))
    finding: Mapped[str] = mapped_column(sa.Text)
    detail: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    changes: Mapped[list[str]] = mapped_column(sa.JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    note: Mapped[str] = mapped_column(sa.Text)
    closed_by: Mapped[int | None]
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ModelAuditRow(Base):
    """Base models measured side by side; results are added model by model."""

    __tablename__ = "eval_audits"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    models: Mapped[list[str]] = mapped_column(sa.JSON)
    question_set_ids: Mapped[list[int]] = mapped_column(sa.JSON)
    plan: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    results: Mapped[list[dict[str, Any]]] = mapped_column(sa.JSON)
    evaluations: Mapped[dict[str, int]] = mapped_column(sa.JSON)
    account_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
