"""Jobs with real child processes: run, stop, queue, die, come back."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import Conflict, InvalidInput, NotFound
from core.home import Home
from core.job_scheduler import PROJECT
from core.job_store import Claim, JobStore
from core.jobs import Job, Jobs, JobState, Patience
from core.processes import ProcessId
from tests.integration import core_job_parent
from tests.integration.core_job_parent import MODULES
from tests.waiting import PATIENCE_S, eventually

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
FAST = Patience(poll=0.05, stop=0.2, kill=0.2, close=20)


class Desk:
    """Jobs of one test, with its folder."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.home = home
        self.folder = folder
        self.open: list[Jobs] = []

    def jobs(
        self, patience: Patience = FAST, modules: dict[str, str] = MODULES, **settings: Any
    ) -> Jobs:
        given = {"job_pauses": "0.05,0.1", **settings}
        made = replace(self.home, settings=self.home.settings.model_copy(update=given))
        self.open.append(Jobs(made, modules, patience))
        return self.open[-1]

    def payload(self, **more: Any) -> dict[str, Any]:
        return {"folder": str(self.folder), **more}

    def let_go(self) -> None:
        (self.folder / "open").touch()

    def pids(self, job_id: int) -> list[int]:
        file = self.folder / f"attempts-{job_id}"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def reached(self, job_id: int, step: int) -> bool:
        file = self.folder / f"steps-{job_id}"
        return file.exists() and file.read_text() == str(step)


@pytest.fixture
def desk(any_home: Home, tmp_path: Path) -> Iterator[Desk]:
    folder = tmp_path / "desk"
    folder.mkdir()
    desk = Desk(any_home, folder)
    yield desk
    desk.let_go()
    for jobs in desk.open:
        jobs.close()


def finished(jobs: Jobs, job_id: int) -> Job:
    def over() -> Job | None:
        job = jobs.get(job_id)
        if job.active:
            time.sleep(0.1)  # each look is a query, and most of the time a process is starting
        return None if job.active else job

    return eventually(over)  # type: ignore[no-any-return]


def lines(jobs: Jobs, job_id: int) -> list[str]:
    return [line[9:] for line in jobs.log(job_id).splitlines()]


def test_succeeds_with_result_progress_log_and_settings(desk: Desk) -> None:
    jobs = desk.jobs(passages=7, threads=3)
    job_id = jobs.submit("work", desk.payload(), title="Three steps")
    assert jobs.get(job_id).state is JobState.QUEUED
    jobs.start()
    job = finished(jobs, job_id)
    assert job.state is JobState.SUCCEEDED, job.message
    assert job.result == {
        "steps": 3, "begun": 0, "passages": 7, "threads": 3, "cwd": str(PROJECT), "nan": None,
    }  # fmt: skip
    assert (job.done, job.total, job.note, job.seconds_left) == (3.0, 3.0, "step 3", None)
    assert job.attempts == 1
    assert job.started_at and job.finished_at and job.started_at <= job.finished_at
    assert lines(jobs, job_id) == ["step 1", "step 2", "step 3"]
    assert jobs.log(job_id, lines=1).endswith("step 3")
    assert "step 3" in (desk.home.workspace.logs / f"job-{job_id}.log").read_text()


@ON_SQLITE
def test_several_queue_and_so_many_run_at_once(desk: Desk) -> None:
    jobs = desk.jobs(parallel_jobs=2)
    ids = [jobs.submit("work", desk.payload(trick="gate"), title=f"{n}") for n in range(3)]
    jobs.start()
    eventually(lambda: all(desk.pids(job_id) for job_id in ids[:2]))
    assert [job.state for job in reversed(jobs.list())] == ["running", "running", "queued"]
    assert not desk.pids(ids[2])
    desk.let_go()
    assert [finished(jobs, job_id).state for job_id in ids] == [JobState.SUCCEEDED] * 3
    assert [job.id for job in jobs.list("work", limit=2)] == [ids[2], ids[1]]
    assert jobs.list("other") == []


def test_stop_running_and_queued(desk: Desk) -> None:
    jobs = desk.jobs(Patience(poll=0.05))
    running = jobs.submit("work", desk.payload(trick="gate"), title="running")
    queued = jobs.submit("work", desk.payload(), title="queued")
    jobs.start()
    eventually(lambda: desk.reached(running, 1))
    jobs.stop(queued)
    assert jobs.get(queued).state is JobState.STOPPED
    jobs.stop(running)
    job = finished(jobs, running)
    assert (job.state, job.message) == (JobState.STOPPED, "Saved and stopped.")
    assert "stopping before step 2" in jobs.log(running)
    jobs.stop(running)
    assert jobs.get(running).state is JobState.STOPPED
    assert not desk.pids(queued)


@ON_SQLITE
def test_deaf_child_is_forced_to_stop(desk: Desk) -> None:
    jobs = desk.jobs()
    job_id = jobs.submit("work", desk.payload(trick="deaf"), title="deaf")
    jobs.start()
    eventually(lambda: desk.reached(job_id, 1))
    jobs.stop(job_id)
    job = finished(jobs, job_id)
    assert job.state is JobState.STOPPED
    # Killed by us, not by the system: the words for that must not appear beside "stopped".
    assert job.message == "Stopped; it did not react and was ended by force."
    assert lines(jobs, job_id)[-1] == job.message


@ON_SQLITE
@pytest.mark.parametrize(
    ("trick", "message"),
    [("refuse", "The file 'x.txt' is empty. Choose another."), ("bug", "Internal error")],
)
def test_failures_say_why(desk: Desk, trick: str, message: str) -> None:
    jobs = desk.jobs()
    job_id = jobs.submit("work", desk.payload(trick=trick), title=trick)
    jobs.start()
    job = finished(jobs, job_id)
    assert job.state is JobState.FAILED
    assert job.message.startswith(message)
    assert job.attempts == 1
    if trick == "bug":
        assert "secret" not in job.message
        fault = job.message.split()[2].rstrip(";")
        log = (desk.home.workspace.logs / "app.log").read_text()
        assert fault in log
        assert "secret details" in log


def test_killed_child_is_resumed_from_where_it_was(desk: Desk) -> None:
    jobs = desk.jobs()
    job_id = jobs.submit("work", desk.payload(trick="gate", at=2, steps=4), title="killed")
    jobs.start()
    eventually(lambda: desk.reached(job_id, 2) and jobs.get(job_id).done == 2)
    os.kill(desk.pids(job_id)[0], signal.SIGKILL)
    job = finished(jobs, job_id)
    assert job.state is JobState.SUCCEEDED, job.message
    assert job.attempts == 2
    assert job.result and job.result["begun"] == 2
    assert "killed by SIGKILL" in jobs.log(job_id)


def test_a_child_that_dies_before_any_progress_is_tried_again_after_pauses(desk: Desk) -> None:
    jobs = desk.jobs()
    job_id = jobs.submit("work", desk.payload(lives=2), title="killed twice")
    jobs.start()
    job = finished(jobs, job_id)
    assert (job.state, job.attempts, job.message) == (JobState.SUCCEEDED, 3, ""), job.message
    killed = "its process was killed by SIGKILL, as the system does when memory runs out"
    assert lines(jobs, job_id)[:2] == [
        f"Attempt 1 ended early: {killed}. The next begins in 0.05 s.",
        f"Attempt 2 ended early: {killed}. The next begins in 0.1 s.",
    ]


@ON_SQLITE
def test_a_child_that_dies_but_gets_further_is_tried_until_it_is_done(desk: Desk) -> None:
    jobs = desk.jobs(job_pauses="0.05")
    job_id = jobs.submit("work", desk.payload(trick="die", at=0, steps=2), title="dies")
    jobs.start()
    job = finished(jobs, job_id)
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 3), job.message


@ON_SQLITE
def test_a_child_that_gets_no_further_is_given_up_and_can_be_tried_again(desk: Desk) -> None:
    jobs = desk.jobs(job_pauses="0.05")
    job_id = jobs.submit("work", desk.payload(lives=2), title="dies")
    jobs.start()
    job = finished(jobs, job_id)
    assert (job.state, job.attempts) == (JobState.FAILED, 2)
    assert job.message.startswith("Attempt 2 ended early: its process was killed by SIGKILL")
    assert "Given up: 2 in a row got no further." in job.message
    assert job.message.endswith("about to die")
    told = lines(jobs, job_id)
    assert (len(told), told[-1]) == (2, job.message)
    assert jobs.unsettled() == [job]
    jobs.try_again(job_id)
    job = finished(jobs, job_id)
    assert (job.state, job.message) == (JobState.SUCCEEDED, "")
    assert lines(jobs, job_id)[2] == "Tried again."
    with pytest.raises(Conflict, match="is succeeded"):
        jobs.try_again(job_id)
    assert jobs.unsettled() == []


@ON_SQLITE
def test_a_child_that_cannot_begin_says_why(desk: Desk) -> None:
    doomed = desk.jobs(modules={"work": "tests.no_such_module"}, job_pauses="0.05")
    job_id = doomed.submit("work", {}, title="no such module")
    doomed.start()
    job = finished(doomed, job_id)
    assert (job.state, job.attempts) == (JobState.FAILED, 2)
    assert "exit code 1" in job.message
    assert "No module named" in job.message


def test_a_job_that_pauses_holds_up_no_other_and_can_be_stopped(desk: Desk) -> None:
    jobs = desk.jobs(job_pauses="3600")
    poison = jobs.submit("work", desk.payload(lives=9), title="poison")
    jobs.start()
    eventually(lambda: jobs.get(poison).pausing)
    other = jobs.submit("work", desk.payload(), title="other")
    assert finished(jobs, other).state is JobState.SUCCEEDED
    assert len(desk.pids(poison)) == 1
    jobs.stop(poison)
    job = jobs.get(poison)
    assert (job.state, job.message) == (JobState.STOPPED, "Stopped while it waited.")
    assert lines(jobs, poison)[-1] == job.message


@ON_SQLITE
def test_a_job_that_is_due_again_waits_behind_those_that_came_before(desk: Desk) -> None:
    store = JobStore(desk.home.database)
    poison, other = (store.add("work", {}, title, None) for title in ("poison", "other"))
    assert store.claim() == Claim(poison, "work", 1)
    (died,) = store.running()
    assert store.try_later(died, 1, 0.0, "Attempt 1 ended early.")
    assert store.claim() == Claim(other, "work", 1)
    assert store.claim() == Claim(poison, "work", 2)


@ON_SQLITE
def test_a_stop_that_comes_while_a_child_dies_is_the_only_thing_that_is_told(desk: Desk) -> None:
    store = JobStore(desk.home.database)
    job_id = store.add("work", {}, "dies", None)
    assert store.claim()
    (died,) = store.running()
    store.ask_stop(job_id)
    assert not store.try_later(died, 1, 0.0, "Attempt 1 ended early. The next begins in 1 s.")
    assert store.log(job_id, 9) == ""
    assert store.finish(job_id, 1, JobState.STOPPED, "Stopped.")
    assert store.log(job_id, 9)[9:] == "Stopped."


def test_close_loses_nothing(desk: Desk) -> None:
    jobs = desk.jobs()
    job_id = jobs.submit("work", desk.payload(trick="gate"), title="interrupted")
    jobs.start()
    eventually(lambda: desk.reached(job_id, 1))
    jobs.close()
    job = jobs.get(job_id)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    desk.let_go()
    later = desk.jobs()
    later.start()
    job = finished(later, job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.result and job.result["begun"] == 1


@ON_SQLITE
def test_close_forces_a_deaf_child_and_keeps_its_job(desk: Desk) -> None:
    jobs = desk.jobs(replace(FAST, close=0.2))
    job_id = jobs.submit("work", desk.payload(trick="deaf"), title="deaf")
    jobs.start()
    eventually(lambda: desk.reached(job_id, 1))
    pid = desk.pids(job_id)[0]
    jobs.close()
    assert jobs.get(job_id).state is JobState.QUEUED
    assert not Path(f"/proc/{pid}").exists()


@pytest.fixture(scope="module")
def processes() -> Any:
    """Parents come from a process that has imported all once: a start takes a moment."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([core_job_parent.__name__])
    return context


@pytest.fixture
def killed_parent(desk: Desk, processes: Any) -> Iterator[Callable[..., tuple[int, int]]]:
    """Run an app elsewhere until its job's first step, then kill -9 it: (job id, child pid)."""
    children: list[int] = []

    def run(**payload: Any) -> tuple[int, int]:
        here, there = processes.Pipe(duplex=False)
        root, url = desk.home.workspace.root, desk.home.settings.database_url
        given = (root, url, desk.payload(**payload), there)
        parent = processes.Process(target=core_job_parent.work, args=given)
        parent.start()
        there.close()
        job_id = here.recv()
        here.close()
        eventually(lambda: desk.reached(job_id, 1))
        parent.kill()
        parent.join(PATIENCE_S)
        assert parent.exitcode == -signal.SIGKILL
        children.extend(desk.pids(job_id))
        return job_id, desk.pids(job_id)[0]

    yield run
    desk.let_go()
    eventually(lambda: all(_gone(pid) for pid in children))


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1].startswith("Z")
    except FileNotFoundError:
        return True


def test_killed_parent_living_child_is_adopted(
    desk: Desk, killed_parent: Callable[..., tuple[int, int]]
) -> None:
    job_id, pid = killed_parent(trick="gate")
    jobs = desk.jobs()
    jobs.start()
    assert jobs.get(job_id).state is JobState.RUNNING
    desk.let_go()
    job = finished(jobs, job_id)
    assert job.state is JobState.SUCCEEDED
    assert (job.attempts, desk.pids(job_id)) == (1, [pid])
    assert "this job kept running" in jobs.log(job_id)


@ON_SQLITE
def test_killed_parent_living_child_can_be_stopped(
    desk: Desk, killed_parent: Callable[..., tuple[int, int]]
) -> None:
    job_id, _pid = killed_parent(trick="deaf")
    jobs = desk.jobs()
    jobs.start()
    jobs.stop(job_id)
    job = finished(jobs, job_id)
    assert job.state is JobState.STOPPED


def test_killed_parent_and_child_job_is_resumed(
    desk: Desk, killed_parent: Callable[..., tuple[int, int]]
) -> None:
    job_id, pid = killed_parent(trick="gate", at=1)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: _gone(pid))
    assert desk.jobs().get(job_id).state is JobState.RUNNING
    jobs = desk.jobs()
    jobs.start()
    job = finished(jobs, job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.attempts == 2
    assert job.result and job.result["begun"] == 1
    assert "took the job with it" in jobs.log(job_id)


def test_recycled_pid_is_not_mistaken() -> None:
    own = ProcessId.own()
    assert own.find() is not None
    assert ProcessId(own.pid, own.started - 3600).find() is None
    assert ProcessId(2**22 + 1, own.started).find() is None


@ON_SQLITE
def test_unknown_kind_and_job(desk: Desk) -> None:
    jobs = desk.jobs()
    with pytest.raises(InvalidInput, match=r"'sing'.*work"):
        jobs.submit("sing", {}, title="x")
    with pytest.raises(NotFound, match="no job 99"):
        jobs.get(99)
    with pytest.raises(NotFound):
        jobs.stop(99)
