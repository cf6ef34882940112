"""Fixtures of tests that use real databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.engines.base import LanguageModel
from assistant.service import open_model
from core.home import Home, open_home
from tests.integration.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the session; skips where PostgreSQL is not installed."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database: '' (SQLite in the workspace), then PostgreSQL."""
    if request.param == "sqlite":
        return ""
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database()


@pytest.fixture
def any_home(database_url: str, tmp_path: Path) -> Iterator[Home]:
    """An empty installation, once on SQLite and once on PostgreSQL."""
    opened = open_home(workspace=tmp_path / "workspace", database_url=database_url)
    yield opened
    opened.database.close()


@pytest.fixture(scope="session")
def model_home(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Home]:
    """One installation for all tests that only read from the embedded model."""
    workspace = tmp_path_factory.mktemp("model") / "workspace"
    workspace.mkdir()
    (workspace / "models").symlink_to(models)
    opened = open_home(workspace=workspace)
    yield opened
    opened.database.close()


@pytest.fixture(scope="session")
def embedded_model(model_home: Home) -> LanguageModel:
    """The embedded model, loaded once."""
    return open_model(model_home)
