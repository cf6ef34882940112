"""Evaluations and audits whose process is killed for good: seen, said, and deletable."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from assistant.modes import AnswerMode
from core.errors import Conflict, NotFound, Stopped
from core.home import Home
from core.job_scheduler import PROJECT
from core.job_store import JobState, JobStore
from core.jobs import Jobs
from core.processes import ProcessId
from core.progress import Silent
from eval.arms import Plan
from eval.audit import Audits
from eval.evaluations import Evaluations, QuestionSets
from eval.gate import Gate
from eval.tables import ModelAuditRow
from tests import eval_fakes
from tests.eval_fakes import evaluations, good_assistant, rows
from tests.integration.test_eval_gate import question_set, shelf_with
from tests.waiting import PATIENCE_S

EVALUATING = """
import sys, time
from pathlib import Path
from core.home import open_home
from tests.eval_fakes import ScriptedAssistant, evaluations
home = open_home(workspace=Path(sys.argv[1]))
def reply(question, passages):
    print("at work", flush=True)
    time.sleep(600)
evaluations(home, ScriptedAssistant(reply)).run(int(sys.argv[2]))
"""
AUDITING = """
import sys, time
from pathlib import Path
from core.home import open_home
from core.progress import Silent
from eval.audit import Audits
def measure(home, model):
    print("at work", flush=True)
    time.sleep(600)
Audits(open_home(workspace=Path(sys.argv[1])), measure).run(int(sys.argv[2]), Silent())
"""


@contextmanager
def at_work(code: str, home: Home, number: int) -> Iterator[Any]:
    """A process in the middle of its work; yields what kills it."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(home.workspace.root), str(number)],
        cwd=PROJECT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None

    def kill() -> None:
        os.kill(child.pid, signal.SIGKILL)
        child.wait(PATIENCE_S)

    try:
        assert child.stdout.readline() == "at work\n"
        yield kill
    finally:
        if child.poll() is None:
            kill()
        child.stdout.close()


def model_folder(home: Home) -> str:
    """A folder that passes for a model as long as nobody loads it."""
    folder = home.workspace.root / "small"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    header = json.dumps({"w": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return str(folder)


def stopwatch(home: Home, model: str) -> dict[str, Any]:
    """Measure nothing."""
    return {"name": model, "context_tokens": 512, "load_s": 0.5, "first_token_s": 0.1,
            "tokens_per_s": 20.0, "memory_mb": 100.0}  # fmt: skip


def made(home: Home) -> int:
    plan = Plan(modes=(AnswerMode.BASE,), latency_sample=0)
    return Evaluations(home).create([QuestionSets(home).add(rows(4, 0), "set").id], plan)


def job_for(home: Home, number: int, kind: str = "evaluate", key: str = "evaluation_id") -> int:
    """A job that a child has taken."""
    store = JobStore(home.database)
    job = store.add(kind, {key: number}, "Working", None)
    claim = store.claim()
    assert claim is not None
    store.register(job, claim.attempt, ProcessId.own())
    return job


def gave_up(home: Home, job: int, state: JobState = JobState.FAILED) -> None:
    text = "Gave up after 3 attempts: its process was killed by SIGKILL."
    assert JobStore(home.database).finish(job, 1, state, text)


def test_an_evaluation_that_was_killed_for_good_says_so_and_can_be_deleted(home: Home) -> None:
    number, service = made(home), Evaluations(home)
    job = job_for(home, number)
    with at_work(EVALUATING, home, number) as kill:
        assert service.get(number).state == "running"
        with pytest.raises(Conflict, match=f"Evaluation {number} is being worked on"):
            service.delete(number)
        kill()
    assert service.get(number).state == "new", "its job is not over: it waits to be taken up"
    with pytest.raises(Conflict, match="waits to be"):
        service.delete(number)
    gave_up(home, job)
    one = service.get(number)
    assert (one.state, one.error) == (
        "failed", "Gave up after 3 attempts: its process was killed by SIGKILL.",
    )  # fmt: skip
    assert [one.state for one in service.list()] == ["failed"]
    service.delete(number)
    with pytest.raises(NotFound):
        service.get(number)
    assert list(home.workspace.evaluations.iterdir()) == []


def test_without_a_job_the_process_alone_tells(home: Home) -> None:
    number, service = made(home), Evaluations(home)
    with at_work(EVALUATING, home, number) as kill:
        assert service.get(number).state == "running"
        kill()
    one = service.get(number)
    assert (one.state, "ended without a word" in one.error) == ("failed", True)
    evaluations(home, good_assistant()).run(number)
    assert service.get(number).state == "done"
    service.delete(number)


def test_a_job_that_ended_before_the_work_began_is_told_too(home: Home) -> None:
    number, other = made(home), made(home)
    gave_up(home, job_for(home, number))
    stopped = JobStore(home.database).add("evaluate", {"evaluation_id": other}, "Second", None)
    JobStore(home.database).ask_stop(stopped)
    assert [one.state for one in Evaluations(home).list()] == ["stopped", "failed"]


def test_a_later_evaluation_of_the_number_has_nothing_to_do_with_an_earlier_job(
    home: Home,
) -> None:
    number = made(home)
    gave_up(home, job_for(home, number))
    Evaluations(home).delete(number)
    assert made(home) == number, "the database gives the number again"
    assert Evaluations(home).get(number).state == "new"


def test_what_was_stopped_and_waits_again_cannot_be_deleted_under_its_job(home: Home) -> None:
    class Stop(Silent):
        def stop_requested(self) -> bool:
            return True

    number, service = made(home), evaluations(home, good_assistant())
    with pytest.raises(Stopped):
        service.run(number, Stop())
    assert service.get(number).state == "stopped"
    JobStore(home.database).add("evaluate", {"evaluation_id": number}, "Again", None)
    with pytest.raises(Conflict):
        service.delete(number)


def test_an_audit_that_was_killed_for_good_says_so_and_can_be_deleted(home: Home) -> None:
    audits = Audits(home)
    number = audits.create([model_folder(home)], [], Plan(modes=(AnswerMode.BASE,)))
    job = job_for(home, number, "audit", "audit_id")
    with at_work(AUDITING, home, number) as kill:
        assert audits.get(number).state == "running"
        with pytest.raises(Conflict, match=f"Audit {number} is being worked on"):
            audits.delete(number)
        kill()
    with pytest.raises(Conflict, match="waits to be"):
        audits.delete(number)
    gave_up(home, job)
    assert (audits.list()[0].state, "SIGKILL" in audits.list()[0].error) == ("failed", True)
    audits.delete(number)
    assert audits.list() == []


def test_an_audit_measures_anew_what_somebody_deleted_meanwhile(home: Home) -> None:
    audits, model = Audits(home, stopwatch), model_folder(home)
    sets = [QuestionSets(home).add(rows(4, 0), "set").id]
    number = audits.create([model], sets, Plan(modes=(AnswerMode.BASE,), latency_sample=0))
    with home.database.session() as session:
        session.get_one(ModelAuditRow, number).evaluations = {model: 77}
    audits._evaluations = evaluations(home, good_assistant())
    assert audits.run(number, Silent()).state == "done"


def test_a_gate_evaluation_that_was_killed_for_good_is_queued_again(home: Home) -> None:
    shelf_with(home, "old")
    question_set(home)
    queue = Jobs(home, {"evaluate": "eval.jobs"})
    (number,) = Gate(home).queue_missing("old", queue)
    with pytest.raises(Conflict, match=rf"Evaluation {number} .* measures the adapter 'old'"):
        Evaluations(home).require_unused("old")
    claim = JobStore(home.database).claim()
    assert claim is not None
    gave_up(home, claim.job_id)
    Evaluations(home).require_unused("old")
    assert Gate(home).queue_missing("old", queue) == [number]
    assert [job.state.value for job in queue.list()] == ["queued", "failed"]


def test_looking_at_a_running_evaluation_reads_no_passages(home: Home, tmp_path: Path) -> None:
    service = evaluations(home, eval_fakes.good_assistant())
    plan = Plan(modes=(AnswerMode.BASE, AnswerMode.RAG), latency_sample=0)
    number = service.create([QuestionSets(home).add(rows(4, 2), "set").id], plan)
    service.run(number)
    statements: list[str] = []
    event.listen(
        home.database.engine, "before_cursor_execute",
        lambda _c, _cursor, statement, *_rest: statements.append(statement),
    )  # fmt: skip
    figures = service.live(number)
    assert {arm: one["answered"] for arm, one in figures.items()} == {"base": 6, "rag": 6}
    assert figures["rag"]["correct"]["value"] == 1.0
    reads = [one for one in statements if "FROM eval_answers" in one]
    assert len(reads) == 2
    for one in reads:
        assert "JSON_EXTRACT(eval_answers.answer" in one
        assert one.count("eval_answers.answer") == 1, "the text alone is taken out of it"
