"""The first questions after a start find a model that is whole.

A start of the real application, and nineteen of all that it loads in one process:
`python -m tests.faults.starts` tries hundreds of the first kind.
"""

from pathlib import Path

from tests.faults.starts import loads, prepare, starts
from tests.integration.tiny_model import write_tiny_model

ASKS = 4


def test_questions_in_the_first_second_are_all_answered(models: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    token = prepare(workspace, models)
    found = list(starts(workspace, token, count=1, asks=ASKS))
    small = write_tiny_model(tmp_path / "small", ["How many days of sick leave? Ten days."])
    found += loads(workspace, token, count=19, asks=ASKS, model=small)
    assert [start.problems for start in found] == [[]] * 20
