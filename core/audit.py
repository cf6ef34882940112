"""The audit log: who did what to what, when. Entries are added, never changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from core.database import Database
from core.tables import AuditRow
from core.values import plain, storable

OPERATOR_NAME = "operator"
"""Actor of what is done on the machine itself, without signing in."""


@dataclass(frozen=True)
class AuditEntry:
    """One deed: `actor` did `action` (e.g. `account.create`) to `subject`."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


class Audit:
    """The log's two doors: write and read."""

    def __init__(self, database: Database) -> None:
        """Use `database`."""
        self._database = database

    def record(
        self, actor: str, action: str, subject: str, detail: dict[str, Any] | None = None
    ) -> None:
        """Add an entry. `detail` is JSON and must hold no secret."""
        with self._database.session() as session:
            session.add(audit_row(actor, action, subject, detail))

    def entries(self, limit: int = 100, before_id: int | None = None) -> list[AuditEntry]:
        """Return the newest entries first; `before_id` pages on to older ones."""
        query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(AuditRow.id < before_id)
        with self._database.session() as session:
            return [
                AuditEntry(row.id, row.at, row.actor, row.action, row.subject, row.detail)
                for row in session.scalars(query)
            ]


def audit_row(
    actor: str, action: str, subject: str, detail: dict[str, Any] | None = None
) -> AuditRow:
    """Make an entry to be stored in the same transaction as the deed."""
    return AuditRow(
        actor=storable(actor, 64),
        action=action,
        subject=storable(subject),
        detail=plain(detail or {}),
    )
