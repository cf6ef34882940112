"""The first questions after a start find a model that is whole.

Three starts of the real application: `python -m tests.faults.starts` tries hundreds.
"""

from pathlib import Path

from tests.faults.starts import prepare, starts
from tests.integration.conftest import models  # noqa: F401 - a fixture


def test_questions_in_the_first_second_are_all_answered(
    models: Path,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    workspace = tmp_path / "workspace"
    token = prepare(workspace, models)
    found = list(starts(workspace, token, count=3, asks=4))
    assert [start.problems for start in found] == [[]] * 3
