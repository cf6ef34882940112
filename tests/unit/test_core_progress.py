"""A job's progress when the database is slow, full or away."""

from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from core.database import Database
from core.home import Home
from core.job_child import JobProgress
from core.job_store import JobState, JobStore
from core.processes import ProcessId


class BrittleStore(JobStore):
    """A store whose disk can be full; counts what reaches it."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.full = False
        self.asked = 0

    def report(self, job_id: int, attempt: int, values: dict[str, Any]) -> None:
        self._fail()
        super().report(job_id, attempt, values)

    def add_log(self, job_id: int, attempt: int, line: str) -> None:
        self._fail()
        super().add_log(job_id, attempt, line)

    def wants_stop(self, job_id: int, attempt: int) -> bool:
        self.asked += 1
        self._fail()
        return super().wants_stop(job_id, attempt)

    def _fail(self) -> None:
        if self.full:
            raise OperationalError("UPDATE", {}, OSError("database or disk is full"))


@pytest.fixture
def store(home: Home) -> BrittleStore:
    return BrittleStore(home.database)


def running(store: JobStore) -> tuple[int, JobProgress]:
    job_id = store.add("work", {}, "a job", None)
    claim = store.claim()
    assert claim is not None
    assert claim.job_id == job_id
    return job_id, JobProgress(store, job_id, claim.attempt)


def test_full_disk_is_said_once_and_the_work_goes_on(
    store: BrittleStore, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id, progress = running(store)
    store.full = True
    progress.update(1, 10, "one")
    progress.update(2, 10, "two")
    progress.flush()
    progress.log("a line")
    assert not progress.stop_requested()
    err = capsys.readouterr().err
    assert err.count("Progress cannot be saved, the work goes on: database or disk is full") == 1
    store.full = False
    progress.flush()
    assert store.get(job_id).done == 2
    assert "can be saved again" in capsys.readouterr().err


def test_updates_and_questions_are_bundled(store: BrittleStore) -> None:
    job_id, progress = running(store)
    for step in range(200):
        progress.update(step, 200, f"step {step}\0\udcff")
        progress.stop_requested()
    assert store.asked == 1
    assert store.get(job_id).done == 0
    progress.flush()
    job = store.get(job_id)
    assert (job.done, job.note) == (199, "step 199\N{REPLACEMENT CHARACTER}?")


def test_given_time_left_wins(store: BrittleStore) -> None:
    job_id, progress = running(store)
    progress.update(1, 10, seconds_left=77)
    assert store.get(job_id).seconds_left == 77


def test_attempt_that_was_given_up_changes_nothing_more(store: BrittleStore) -> None:
    job_id, stale = running(store)
    assert store.register(job_id, 1, ProcessId(10, 1.0))
    assert not store.register(job_id, 1, ProcessId(11, 1.0))
    (lost,) = store.running()
    assert store.try_later(lost, 1, 0.0, "Attempt 1 ended early.")
    claim = store.claim()
    assert claim is not None
    assert claim.attempt == 2
    assert not store.register(job_id, 1, ProcessId(10, 1.0))
    stale.update(5, 10)
    stale.flush()
    stale.log("I live")
    assert store.log(job_id, 9)[9:] == "Attempt 1 ended early."
    assert stale.stop_requested()
    assert not store.finish(job_id, 1, JobState.SUCCEEDED, "", {})
    job = store.get(job_id)
    assert (job.state, job.done, job.attempts) == (JobState.RUNNING, 0.0, 2)


def test_stop_and_finish_meet_in_one_state(store: BrittleStore) -> None:
    job_id, _progress = running(store)
    assert store.finish(job_id, 1, JobState.SUCCEEDED, "", {"x": float("inf")})
    store.ask_stop(job_id)
    job = store.get(job_id)
    assert (job.state, job.result, job.active) == (JobState.SUCCEEDED, {"x": None}, False)
    assert not store.finish(job_id, 1, JobState.FAILED, "late")
    assert store.claim() is None
