"""One database for all state: SQLite in WAL mode by default, PostgreSQL by URL.

Each package declares its tables on `Base`; migrations live in `core/migrations`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import (
    DateTime,
    Dialect,
    Engine,
    ExceptionContext,
    Float,
    create_engine,
    event,
    inspect,
)
from sqlalchemy.exc import DataError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import QueuePool
from sqlalchemy.types import TypeDecorator

from core.errors import InvalidInput, WorkspaceError
from core.sqlite_lock import SqliteLock

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x1A40
_VERSION_TABLE = "alembic_version"


class Base(DeclarativeBase):
    """Parent of every table. A Python float is `sa.Float` here as in the migrations."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {float: Float()}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC moment; SQLite drops the zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive moments: nobody could tell later what they meant."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}: use core.database.now()")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def _explain_unfit(context: ExceptionContext) -> None:
    """Tell a value that fits no column from a fault: whoever sent it can do something about it."""
    unfit = isinstance(context.original_exception, OverflowError | UnicodeError)
    if unfit or isinstance(context.sqlalchemy_exception, DataError):
        raise InvalidInput(
            "A value cannot be stored or looked up: a number is too large, a text too long, or it "
            "holds characters that are none (NUL, half a pair). Correct it and try again."
        ) from context.original_exception


class Database:
    """Connections and transactions. Safe to share between threads, not between processes."""

    def __init__(self, url: str, make_room: Callable[[], None] = lambda: None) -> None:
        """`url` is a SQLAlchemy URL, e.g. `sqlite:///x.db` or `postgresql+psycopg://...`.

        `make_room` is called before what must work on a full disk, too: signing in, deleting.
        """
        self.url = url
        self.make_room = make_room
        self.engine: Engine = create_engine(
            url,
            pool_pre_ping=True,
            hide_parameters=True,  # questions and hashes stay out of logs
        )
        self._lock: SqliteLock | None = None
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", self._prepare_sqlite)
            if self.engine.url.database:
                self._lock = SqliteLock(Path(self.engine.url.database))
        event.listen(self.engine, "handle_error", _explain_unfit)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back on any exception."""
        with self._sessions.begin() as session:
            yield session

    def migrate(self) -> None:
        """Bring the schema to the newest version; of several processes one does it, all wait.

        Raises:
            WorkspaceError: another version of Inhouse wrote it.
        """
        if self._newest():
            return
        # Here, because it takes a third of a second to import, and is needed once a version.
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        sqlite = self.engine.dialect.name == "sqlite"
        # The driver begins no transaction before DDL by itself: half a migration could stay.
        lock = "BEGIN IMMEDIATE" if sqlite else f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"
        try:
            with self.engine.begin() as connection:
                connection.exec_driver_sql(lock)
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except CommandError as error:
            raise WorkspaceError(
                f"The database '{self.engine.url!r}' was written by another version of Inhouse "
                f"({error}). Install the newest version, or name another workspace."
            ) from error

    def _newest(self) -> bool:
        """Tell whether nothing is to migrate: the files' names are numbered versions."""
        newest = max(file.stem for file in (MIGRATIONS / "versions").glob("*.py"))
        with self.engine.connect() as connection:
            if not inspect(connection).has_table(_VERSION_TABLE):
                return False
            found = connection.exec_driver_sql(f"SELECT version_num FROM {_VERSION_TABLE}").all()
        return [version for (version,) in found] == [newest]

    def close(self) -> None:
        """Close pooled connections."""
        if self._lock:
            self._lock.unlock()
        in_use = self.engine.pool.checkedout() if isinstance(self.engine.pool, QueuePool) else 0
        self.engine.dispose()
        if self._lock and not in_use:
            self._lock.close()

    def _prepare_sqlite(self, connection: Any, _record: Any) -> None:
        # FULL, not NORMAL: in WAL mode NORMAL may lose acknowledged commits when power fails.
        # The timeout first: switching to WAL may itself have to wait for another process.
        for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL",
                       "foreign_keys=ON"):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}")
        if self._lock:
            # A first look at the content makes the journal's files, which are locked too.
            connection.execute("PRAGMA schema_version").fetchone()
            self._lock.hold()
