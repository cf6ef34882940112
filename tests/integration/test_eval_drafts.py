"""Questions proposed from documents: as a job in a child process, and from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.home import Home
from core.jobs import Jobs, JobState, Patience
from core.progress import Silent
from eval.__main__ import commands
from eval.candidates import Candidates
from retrieval.service import open_retrieval
from tests.fakes import HashingEmbedder
from tests.waiting import eventually

TEXT = """# Leave

Employees can request up to 240 hours of sick leave.

New employees must hand in a note within 3 days of the illness.

The leave office opens at 7:30 on weekdays.
"""


@pytest.fixture
def leave(any_home: Home, tmp_path: Path) -> Home:
    (tmp_path / "leave.md").write_text(TEXT, "utf-8")
    ingestor = open_retrieval(any_home, HashingEmbedder()).ingestor
    ingestor.ingest([tmp_path / "leave.md"], progress=Silent())
    return any_home


def test_a_job_proposes_questions_and_says_what_it_dropped(leave: Home) -> None:
    jobs = Jobs(leave, {"draft": "eval.draft_jobs"}, Patience(poll=0.05))
    job_id = jobs.submit("draft", {"documents": [], "count": 2}, title="Proposing")
    jobs.start()
    try:
        eventually(lambda: not jobs.get(job_id).active)
    finally:
        jobs.close()
    job = jobs.get(job_id)
    assert job.state is JobState.SUCCEEDED, job.message
    assert job.result == {
        "wanted": 2, "tried": 2, "survived": 2, "made_by": {"rule": 2}, "dropped": {}, "known": 0,
        "left": 1,
    }  # fmt: skip
    assert (job.done, job.total) == (2.0, 2.0)
    made = Candidates(leave).of_job(job_id)
    assert [one.row["question"] for one in made] == [
        "Up to how many hours of sick leave can employees request?",
        "Regarding Leave: within how many days of the illness must new employees hand in a note?",
    ]
    assert all(one.row["evidence_quote"] in TEXT for one in made)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_command_prints_one_object_of_the_agreed_shape(
    leave: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = str(leave.workspace.root)

    def run(*arguments: str, expect: int = 0) -> Any:
        code = commands().run(["draft", *arguments, "--workspace", workspace, "--json"])
        printed = capsys.readouterr()
        assert code == expect, printed.err
        return json.loads(printed.out) if expect == 0 else printed.err

    assert "named 'pay.md'" in run("--documents", "pay.md", expect=3)
    assert "Ask for 1 to 500" in run("--count", "0", expect=2)
    found = run("--documents", "leave.md", "--count", "3")
    assert set(found) == {
        "wanted", "tried", "survived", "made_by", "dropped", "known", "left", "candidates",
    }  # fmt: skip
    assert found["survived"] == len(found["candidates"]) == 3
    assert set(found["candidates"][0]) == {
        "id", "made_by", "question", "answer", "short_answers", "kind", "evidence_file",
        "evidence_quote", "tags",
    }  # fmt: skip
    assert run("--count", "3", "--rules-only")["known"] == 3
