"""Fixtures every layer shares."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from assistant.engines.embedded import EMBEDDED_NAME, embedded_folder
from core.home import Home, open_home
from tests.watched import WATCH, watching

# A deadline would judge the machine, which may be busy, and not the code.
settings.register_profile("house", deadline=None, max_examples=60)
settings.load_profile("house")

CONVERTER = ("embedded", "transformers_convert")
CONVERT = """
import sys
from pathlib import Path
from assistant.engines.embedded import embedded_folder
embedded_folder(Path(sys.argv[1]))
"""
PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared"


class FilesTogether(LoadFileScheduling):  # type: ignore[misc]
    """Hands each file to one process, and all browser tests: they use one application."""

    def _split_scope(self, nodeid: str) -> str:
        return "e2e" if nodeid.startswith("tests/e2e/") else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesTogether:
    """Say how two processes share the tests."""
    return FilesTogether(config, log)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real handbooks and questions, beside the project."""
    if not (SHARED / "handbooks").is_dir():
        pytest.skip("real handbooks are not here: ../shared/handbooks is missing")
    return SHARED


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of today's schema, migrated once for all tests that begin with it."""
    opened = open_home(workspace=tmp_path_factory.mktemp("migrated") / "workspace")
    opened.database.close()
    return opened.workspace.root / "inhouse.db"


@pytest.fixture
def home(tmp_path: Path, migrated: Path) -> Iterator[Home]:
    """An empty installation on SQLite; the plain model reads whole chunks, so none is needed."""
    (tmp_path / "workspace").mkdir(0o700)
    shutil.copy(migrated, tmp_path / "workspace")
    opened = open_home(workspace=tmp_path / "workspace", evidence_finder="off", rag_reader="off")
    yield opened
    opened.database.close()


@pytest.fixture(scope="session")
def models(request: pytest.FixtureRequest) -> Path:
    """A `models` folder with the embedded model, converted once for this converter's code.

    By a process that is watched: `tests/watched.py` finds in the folder what it tried to reach.
    """
    engines = PROJECT / "assistant" / "engines"
    code = b"".join((engines / f"{name}.py").read_bytes() for name in CONVERTER)
    code += (WATCH + CONVERT).encode()
    cache = request.config.cache
    assert cache is not None
    folder: Path = cache.mkdir(f"models-{hashlib.sha256(code).hexdigest()[:12]}")
    if not (folder / EMBEDDED_NAME).is_dir():
        subprocess.run(
            [sys.executable, "-c", CONVERT, str(folder)],
            cwd=PROJECT, env={**os.environ, **watching(folder)}, check=True,
        )  # fmt: skip
    embedded_folder(folder)
    return folder
