"""Fixtures every layer shares."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from core.home import Home, open_home

# A deadline would judge the machine, which may be busy, and not the code.
settings.register_profile("house", deadline=None, max_examples=60)
settings.load_profile("house")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real handbooks and questions, beside the project."""
    if not (SHARED / "handbooks").is_dir():
        pytest.skip("real handbooks are not here: ../shared/handbooks is missing")
    return SHARED


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An empty installation on SQLite; whole chunks are passages, so no model is needed."""
    opened = open_home(workspace=tmp_path / "workspace", evidence_finder="off")
    yield opened
    opened.database.close()
