"""Tables of `core`: accounts, their sessions, the audit log, jobs."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from core.database import Base, UtcDateTime, now

# Ids of deleted rows must never name something else later.
_NEVER_REUSE_IDS = {"sqlite_autoincrement": True}


class AccountRow(Base):
    """A person. `name_key` is the name folded, so that names differ in more than case."""

    __tablename__ = "accounts"
    __table_args__ = (Index("uq_accounts_name_key", "name_key", unique=True), _NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    name_key: Mapped[str] = mapped_column(String(256))
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(16))
    groups: Mapped[list[str]] = mapped_column(JSON)
    must_change_password: Mapped[bool]
    disabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    last_sign_in_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SessionRow(Base):
    """A sign-in. Only the SHA-256 of its token is kept."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("uq_sessions_token_sha256", "token_sha256", unique=True),
        Index("ix_sessions_account_id", "account_id"),
        _NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(String(64))
    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id", name="fk_sessions_account_id", ondelete="CASCADE")
    )
    address: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SignInFailureRow(Base):
    """Failed sign-ins: of a name from an address, of a name ('' for address), of an address."""

    __tablename__ = "sign_in_failures"
    __table_args__ = (Index("ix_sign_in_failures_last_at", "last_at"),)

    name_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    address: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)


class FamiliarAddressRow(Base):
    """Where an account signed in before."""

    __tablename__ = "familiar_addresses"

    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id", name="fk_familiar_addresses_account_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    address: Mapped[str] = mapped_column(String(64), primary_key=True)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AuditRow(Base):
    """Who did what to what, when."""

    __tablename__ = "audit_entries"
    __table_args__ = (_NEVER_REUSE_IDS,)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)


class JobRow(Base):
    """Long work in a child process, which `pid` and `pid_started` identify."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state", "state"), _NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    title: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    done: Mapped[float] = mapped_column(default=0.0)
    total: Mapped[float] = mapped_column(default=0.0)
    note: Mapped[str] = mapped_column(Text, default="")
    seconds_left: Mapped[float | None]
    message: Mapped[str] = mapped_column(Text, default="")
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    account_id: Mapped[int | None] = mapped_column(
        ForeignKey("accounts.id", name="fk_jobs_account_id", ondelete="SET NULL")
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stop_asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    """Attempts in a row whose process died without getting further than `reached`."""
    reached: Mapped[float] = mapped_column(default=0.0)
    """The most that was done when a process died."""
    retry_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    pid: Mapped[int | None]
    pid_started: Mapped[float | None]


class JobLogRow(Base):
    """One line that a job tells people."""

    __tablename__ = "job_log"
    __table_args__ = (Index("ix_job_log_job_id", "job_id", "id"), _NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", name="fk_job_log_job_id", ondelete="CASCADE")
    )
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    line: Mapped[str] = mapped_column(Text)
