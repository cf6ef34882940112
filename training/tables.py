"""Tables of `training`: runs, and the points of their curves."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from core.database import Base, UtcDateTime, now


class RunRow(Base):
    """One training run. How it fares is its job's business; a finished one has metrics."""

    __tablename__ = "training_runs"
    __table_args__ = (
        Index("ix_training_runs_name", "name"),
        Index("ix_training_runs_job_id", "job_id"),
        Index("uq_training_runs_reserved", "reserved", unique=True),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    reserved: Mapped[str | None] = mapped_column(String(64))
    """The name again, which nobody else may take until the adapter is on the shelf."""
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    dataset_name: Mapped[str] = mapped_column(Text)
    dataset_sha256: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[int | None] = mapped_column(
        ForeignKey("jobs.id", name="fk_training_runs_job_id", ondelete="SET NULL")
    )
    account_id: Mapped[int | None] = mapped_column(
        ForeignKey("accounts.id", name="fk_training_runs_account_id", ondelete="SET NULL")
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    metrics: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class RunPointRow(Base):
    """One point of a run's curves, after `step` steps."""

    __tablename__ = "run_points"

    run_id: Mapped[int] = mapped_column(
        ForeignKey("training_runs.id", name="fk_run_points_run_id", ondelete="CASCADE"),
        primary_key=True,
    )
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[float]
    train_loss: Mapped[float | None]
    validation_loss: Mapped[float | None]
    reading_loss: Mapped[float | None]
    learning_rate: Mapped[float]
    tokens_per_second: Mapped[float]
    seconds: Mapped[float]
