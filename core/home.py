"""What every command, page and job starts from: settings, workspace, database."""

from dataclasses import dataclass, field
from typing import Any

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from core.database import Database
from core.errors import WorkspaceError
from core.loading import Loading
from core.settings import Settings, read_settings
from core.workspace import Workspace


@dataclass(frozen=True)
class Home:
    """One installation, opened."""

    settings: Settings
    workspace: Workspace
    database: Database
    loading: Loading = field(default_factory=Loading, compare=False)
    """Under which this process loads models."""


def open_home(**flags: Any) -> Home:
    """Read settings (flags win), open the workspace, bring the database to date.

    Raises:
        SettingsError, WorkspaceError: with the remedy.
    """
    settings = read_settings(**flags)
    workspace = Workspace(settings.workspace)
    database = Database(settings.database_url or workspace.database_url)
    try:
        database.migrate()
    except SQLAlchemyError as error:
        raise WorkspaceError(
            f"The database '{database.engine.url!r}' cannot be opened: {error.__cause__ or error}. "
            "Check INHOUSE_DATABASE_URL and that the server runs."
        ) from error
    except CommandError as error:
        raise WorkspaceError(
            f"The database '{database.engine.url!r}' was written by another version of Inhouse "
            f"({error}). Install the newest version, or name another workspace."
        ) from error
    return Home(settings, workspace, database)
