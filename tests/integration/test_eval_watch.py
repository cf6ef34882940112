"""Re-evaluation by itself and its alarms, on a real database. No model, no index."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from assistant.modes import AnswerMode
from core.database import now
from core.errors import Conflict, InvalidInput, NotFound
from core.home import Home
from core.job_store import JobState, JobStore
from core.jobs import Jobs
from eval.__main__ import commands
from eval.evaluations import Evaluations
from eval.tables import WatchedRow
from eval.watch import DUE, OFF, STILL, WAITS, Watch, WatchSettings
from eval.watcher import Watcher
from tests import eval_fakes
from tests.integration.test_eval_gate import question_set, shelf_with

MODES = (AnswerMode.BASE, AnswerMode.RAG)


class Office:
    """An installation with a queue that nobody works on, and documents that change at will."""

    def __init__(self, home: Home) -> None:
        model = home.workspace.root / "tiny"
        model.mkdir(exist_ok=True)
        (model / "config.json").write_text("{}")
        (model / "model.safetensors").write_bytes(b"weights")
        settings = home.settings.model_copy(update={"model": str(model)})
        self.home = replace(home, settings=settings)
        self.jobs = Jobs(home, {"evaluate": "eval.jobs", "ingest": "retrieval.jobs"})
        self.store = JobStore(home.database)
        self.version = "1"
        self.watch = self.reopened()

    def reopened(self) -> Watch:
        return Watch(self.home, self.jobs, lambda: self.version)

    def choose(self, **options: Any) -> None:
        chosen = WatchSettings((question_set(self.home),), MODES)
        self.watch.save(replace(chosen, **options))

    def work(self, assistant: eval_fakes.ScriptedAssistant | None = None) -> int:
        """Run the job that waits, as the app would; return the evaluation."""
        claim = self.store.claim()
        assert claim is not None
        number = int(self.jobs.get(claim.job_id).payload["evaluation_id"])
        assistant = assistant or eval_fakes.good_assistant()
        eval_fakes.evaluations(self.home, assistant, index_version=self.version).run(number)
        self.store.finish(claim.job_id, claim.attempt, JobState.SUCCEEDED, "")
        return number


@pytest.fixture
def office(home: Home) -> Office:
    return Office(home)


def lost_retriever() -> eval_fakes.ScriptedAssistant:
    """Finds other documents than it should."""
    return eval_fakes.ScriptedAssistant(eval_fakes.read_well, eval_fakes.RandomRetriever())


def test_nothing_happens_until_an_admin_chooses(office: Office) -> None:
    assert office.watch.look().outlook.kind == OFF
    office.choose(on_change=False)
    assert office.watch.look().outlook.kind == OFF
    assert office.jobs.list() == []


def test_a_change_queues_one_evaluation_and_no_second(office: Office) -> None:
    office.choose()
    first = office.watch.look()
    assert (first.outlook.kind, len(office.jobs.list())) == (DUE, 1)
    for watch in (office.watch, office.reopened()):
        assert watch.look().evaluation_id is None
    office.work()
    assert office.reopened().look().outlook.kind == STILL
    office.version = "2"
    assert "documents" in office.reopened().look().outlook.sentence
    assert office.reopened().look().evaluation_id is None
    assert len(office.jobs.list()) == 2


def test_adapter_and_model_count_as_changes(office: Office) -> None:
    office.choose()
    office.watch.look()
    office.work()
    shelf_with(office.home, "new").set_default("new", None)
    assert office.watch.outlook().sentence == "Changed: adapter."
    (office.home.workspace.root / "tiny" / "model.safetensors").write_bytes(b"other weights")
    assert office.watch.outlook().sentence == "Changed: adapter, model."


def test_it_waits_until_documents_are_read_and_then_takes_the_whole_change(office: Office) -> None:
    office.choose()
    office.watch.look()
    office.work()
    reading = office.jobs.submit("ingest", {"paths": []}, title="Reading 3 files")
    office.version = "2"
    look = office.watch.look()
    assert (look.outlook.kind, look.evaluation_id) == (WAITS, None)
    assert "Reading 3 files" in look.outlook.sentence
    office.version = "3"
    office.jobs.stop(reading)
    assert office.watch.look().evaluation_id is not None
    assert office.watch.started()[0].state["documents"] == "3"


def test_a_crash_between_evaluation_and_job_is_made_good(office: Office) -> None:
    office.choose()
    office.watch.look()
    with office.home.database.session() as session:
        session.execute(sa.update(WatchedRow).values(job_id=None))
        session.execute(sa.text("DELETE FROM jobs"))
    office.reopened().look()
    office.reopened().look()
    assert [job.payload["evaluation_id"] for job in office.jobs.list()] == [1]


def test_another_process_that_looks_is_left_alone(office: Office) -> None:
    office.choose()
    with office.watch._alone() as first, office.reopened()._alone() as second:
        assert (first, second) == (True, False)
        assert office.reopened().look().outlook.kind == WAITS
    assert office.jobs.list() == []


def test_the_calendar_asks_anew(office: Office) -> None:
    office.choose(on_change=False, every_days=7)
    office.watch.look()
    office.work()
    assert office.watch.look().outlook.kind == STILL
    with office.home.database.session() as session:
        session.execute(sa.update(WatchedRow).values(created_at=now() - timedelta(days=8)))
    look = office.watch.look()
    assert "8 days" in look.outlook.sentence
    assert look.evaluation_id is not None
    assert Evaluations(office.home).get(look.evaluation_id).plan.repeat == look.evaluation_id


def test_a_mode_made_worse_raises_an_alarm_that_a_note_closes(office: Office) -> None:
    office.choose()
    office.watch.look()
    before = office.work()
    office.version = "2"
    office.watch.look()
    after = office.work(lost_retriever())
    assert len(office.watch.look().alarms) == 1
    assert office.watch.look().alarms == ()
    alarm = office.watch.alarms.list(open_only=True)[0]
    assert (alarm.mode, alarm.before_id, alarm.evaluation_id) == ("rag", before, after)
    assert alarm.detail["losses"] == 40
    assert "25.0 points fewer of 160 questions" in alarm.finding
    assert alarm.changes == ("documents: 1 → 2",)
    lost = office.watch.alarms.losses(alarm)
    assert len(lost) == 40
    assert all(one.scores["correct"] and not other.scores["correct"] for one, other in lost)
    assert office.watch.alarms.count_open() == 1
    with pytest.raises(InvalidInput, match="note is empty"):
        office.watch.alarms.acknowledge(alarm.id, " ")
    closed = office.watch.alarms.acknowledge(alarm.id, "The handbook was moved back.", 7)
    assert (closed.note, closed.closed_by) == ("The handbook was moved back.", 7)
    assert office.watch.alarms.count_open() == 0
    with pytest.raises(Conflict, match="moved back"):
        office.watch.alarms.acknowledge(alarm.id, "Again.")
    with pytest.raises(NotFound):
        office.watch.alarms.acknowledge(99, "Which?")


def test_no_alarm_where_nothing_got_worse(office: Office) -> None:
    office.choose(floors={"rag": 0.5})
    office.watch.look()
    office.work(lost_retriever())
    office.version = "2"
    office.watch.look()
    office.work()
    office.watch.look()
    assert office.watch.alarms.list() == []


def test_a_floor_raises_an_alarm_without_any_evaluation_before(office: Office) -> None:
    office.choose(floors={"rag": 0.9, "base": 0.2})
    office.watch.look()
    office.work(lost_retriever())
    office.watch.look()
    (alarm,) = office.watch.alarms.list()
    assert (alarm.mode, alarm.detail["kind"]) == ("rag", "floor")
    assert "75% of 160 questions" in alarm.finding
    assert office.watch.alarms.losses(alarm) == []


def test_a_failed_evaluation_is_not_compared_with_and_not_tried_for_ever(office: Office) -> None:
    office.choose()
    office.watch.look()
    claim = office.store.claim()
    assert claim is not None
    office.store.finish(claim.job_id, claim.attempt, JobState.FAILED, "no memory")
    assert office.watch.look().outlook.kind == STILL
    office.version = "2"
    office.watch.look()
    office.work(lost_retriever())
    assert office.watch.look().alarms == ()


def test_impossible_choices_are_refused(office: Office) -> None:
    with pytest.raises(NotFound):
        office.watch.save(WatchSettings((99,), MODES))
    for wrong in ({"modes": ()}, {"every_days": -1}, {"floors": {"rag": 1.5}}):
        with pytest.raises(InvalidInput):
            office.choose(**wrong)
    office.choose(every_days=3, floors={"rag": 0.5})
    assert office.reopened().settings().floors == {"rag": 0.5}


def test_the_watcher_keeps_what_went_wrong_for_the_page(office: Office, tmp_path: Path) -> None:
    office.choose()
    watcher = Watcher(office.watch, tmp_path)
    office.watch._documents = lambda: (_ for _ in ()).throw(RuntimeError("disk"))
    watcher.look()
    assert "RuntimeError" in watcher.problem
    office.watch._documents = lambda: "1"
    watcher.look()
    assert watcher.problem == ""
    assert len(office.jobs.list()) == 1


def test_the_command_looks_once_and_its_exit_code_tells_of_open_alarms(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["watch", "--once", "--json", "--workspace", str(office.home.workspace.root)]
    assert commands().run(command) == 0
    quiet = json.loads(capsys.readouterr().out)
    assert (quiet["outlook"], quiet["evaluation"], quiet["open_alarms"]) == ("off", None, [])
    office.choose(floors={"rag": 0.9})
    office.watch.look()
    office.work(lost_retriever())
    office.watch.look()
    office.choose(on_change=False)
    assert commands().run(command) == 1
    (alarm,) = json.loads(capsys.readouterr().out)["open_alarms"]
    assert (alarm["mode"], alarm["detail"]["floor"]) == ("rag", 0.9)
    office.watch.alarms.acknowledge(alarm["id"], "Known.")
    assert commands().run(command) == 0
