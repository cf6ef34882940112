"""The migrated schema is the one the tables declare, on both databases."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from core.database import MIGRATIONS, Base, Database
from core.errors import WorkspaceError
from core.home import Home, open_home
from core.job_scheduler import PROJECT
from tests.waiting import PATIENCE_S

PACKAGES = ("core", "retrieval", "assistant", "training", "eval")


def import_tables() -> list[str]:
    """Import every `tables` module there is, and say which."""
    names = [f"{package}.tables" for package in PACKAGES]
    found = [name for name in names if importlib.util.find_spec(name)]
    for name in found:
        importlib.import_module(name)
    return found


def test_metadata_equals_migrated_schema(any_home: Home) -> None:
    assert "core.tables" in import_tables()
    with any_home.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrating_again_changes_nothing(any_home: Home) -> None:
    any_home.database.migrate()
    with any_home.database.session() as session:
        assert len(session.execute(text("SELECT version_num FROM alembic_version")).all()) == 1


def test_the_last_file_is_the_newest_version() -> None:
    """That nothing is to migrate is told by the files' names alone."""
    files = [file.stem for file in (MIGRATIONS / "versions").glob("*.py")]
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [max(files)]


def test_database_of_a_newer_version_is_refused_untouched(any_home: Home) -> None:
    with any_home.database.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999_future'"))
    settings = any_home.settings
    with pytest.raises(WorkspaceError, match="another version of Inhouse"):
        open_home(workspace=settings.workspace, database_url=settings.database_url)
    with any_home.database.session() as session:
        version = session.scalar(text("SELECT version_num FROM alembic_version"))
    assert version == "9999_future"


def test_several_processes_open_a_new_workspace_at_once(database_url: str, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from core.home import open_home; "
        "open_home(workspace=Path(sys.argv[1]), database_url=sys.argv[2])"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "w"), database_url]
    running = [
        subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for process in running:
        _out, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, errors


def test_unreachable_database_names_the_remedy(tmp_path: Path) -> None:
    url = "postgresql+psycopg://somebody:secret@127.0.0.1:1/x"
    with pytest.raises(WorkspaceError, match="INHOUSE_DATABASE_URL") as caught:
        open_home(workspace=tmp_path, database_url=url)
    assert "secret" not in caught.value.message


def test_two_databases_can_be_open(tmp_path: Path) -> None:
    one, two = (Database(f"sqlite:///{tmp_path / name}") for name in ("1.db", "2.db"))
    one.migrate()
    with two.engine.connect() as connection:
        tables = connection.exec_driver_sql("SELECT name FROM sqlite_master").all()
    assert tables == []
    one.close()
    two.close()
