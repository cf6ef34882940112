"""What every command, page and job starts from: settings, workspace, database."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from core.database import Database
from core.disk import disk_error
from core.errors import WorkspaceError
from core.loading import Loading
from core.settings import Settings, read_settings
from core.workspace import UMASK, Workspace

First = Callable[[Settings, Workspace], None]
"""What is done before the database is opened."""


@dataclass(frozen=True)
class Home:
    """One installation, opened."""

    settings: Settings
    workspace: Workspace
    database: Database
    loading: Loading = field(default_factory=Loading, compare=False)
    """Under which this process loads models."""


def open_home(first: First | None = None, **flags: Any) -> Home:
    """Read settings (flags win), open the workspace, bring the database to date.

    Whatever this process writes from now on is for its own account alone.

    Raises:
        SettingsError, WorkspaceError: with the remedy.
    """
    os.umask(UMASK)
    settings = read_settings(**flags)
    workspace = Workspace(settings.workspace)
    if first is not None:
        first(settings, workspace)
    url = settings.database_url or workspace.database_url
    database = Database(url, workspace.reserve.make_room)
    try:
        database.migrate()
    except SQLAlchemyError as error:
        known = disk_error(error, workspace.root)
        if known is not None:
            raise known from error
        raise WorkspaceError(
            f"The database '{database.engine.url!r}' cannot be opened: {error.__cause__ or error}. "
            "Check INHOUSE_DATABASE_URL and that the server runs."
        ) from error
    return Home(settings, workspace, database)
