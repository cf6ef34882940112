"""Killed with SIGKILL at random moments: nothing that was acknowledged is lost.

All processes of an installation work at once and die together, again and again on the same
workspace, as when a machine's power is switched off by its supervisor.
"""

import multiprocessing
import random
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pytest

from assistant.conversations import Conversations
from assistant.shelf import Shelf
from core.accounts import Accounts
from core.checkup import check_files
from core.health import check_database
from core.home import Home, open_home
from core.permissions import OPERATOR, Account
from core.settings import Settings
from core.workspace import Workspace
from eval.evaluations import Evaluations
from retrieval.service import open_retrieval
from tests.eval_fakes import evaluations, good_assistant
from tests.fakes import HashingEmbedder
from tests.faults import worker
from tests.waiting import PATIENCE_S
from training.runs import Runs

KINDS = ("accounts", "ingest", "chat", "evaluation", "training")
ROUNDS = 4
SEED = 20_261

Deed = tuple[Any, ...]


@pytest.fixture(scope="module")
def processes() -> Any:
    """Children come from a process that has imported all once: a start takes a moment."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.worker"])
    return context


@pytest.fixture(scope="module")
def lived(processes: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Life"]:
    life = Life(processes, tmp_path_factory.mktemp("lived"))
    for number in range(ROUNDS):
        life.round(SEED + number)
    yield life
    life.home.database.close()


class Life:
    """A workspace that is used and killed, and all that was acknowledged."""

    def __init__(self, processes: Any, folder: Path) -> None:
        self.root, self.folder = folder / "workspace", folder
        self.deeds: list[Deed] = []
        self._processes = processes
        self.home = self.reopened()

    def reopened(self) -> Home:
        check_database(Settings(), Workspace(self.root))
        return open_home(workspace=self.root, evidence_finder="off", rag_reader="off")

    def round(self, seed: int) -> None:
        """Let all work, kill all at a random moment, look at what is left."""
        luck = random.Random(seed)
        self.home.database.close()
        started = [self._start(kind, seed) for kind in KINDS]
        doors = {door for _, door in started}
        until = {door: luck.randrange(1, 5) for door in doors}
        deadline = time.monotonic() + PATIENCE_S
        # Every kind of work is under way, and one of them far: then comes the end.
        while any(left > 0 for left in until.values()) and time.monotonic() < deadline:
            for door in wait(list(doors), 1.0):
                assert isinstance(door, Connection)
                until[door] -= self._hear(door, doors)
                if door not in doors:
                    until[door] = 0
        assert time.monotonic() < deadline, f"seed {seed}: nothing is done"
        time.sleep(luck.uniform(0, 0.05))
        for process, _ in started:
            process.kill()
        for process, door in started:
            process.join(PATIENCE_S)
            while door in doors and door.poll():
                self._hear(door, doors)
            door.close()
        sys.stdout.write(f"seed {seed}: killed after {len(self.deeds)} deeds\n")
        self.home = self.reopened()

    def _start(self, kind: str, seed: int) -> tuple[Any, Connection]:
        here, there = self._processes.Pipe(duplex=False)
        process = self._processes.Process(
            target=worker.work, args=(kind, self.root, self.folder, seed, there), daemon=True
        )
        process.start()
        there.close()
        return process, here

    def _hear(self, door: Connection, doors: set[Connection]) -> int:
        try:
            self.deeds.append(door.recv())
        except EOFError:
            doors.discard(door)
            return 0
        return 1

    def of(self, kind: str) -> list[Deed]:
        found = [deed[1:] for deed in self.deeds if deed[0] == kind]
        assert found, f"no {kind} was acknowledged: nothing was tested"
        return found


def test_no_account_and_no_change_of_one_is_lost(lived: Life) -> None:
    found = {one.name: one for one in Accounts(lived.home.database, lived.home.settings).list()}
    for name, groups in lived.of("accounts"):
        assert set(groups) <= found[name].groups


def test_no_document_is_lost_and_each_is_whole(lived: Life) -> None:
    library = open_retrieval(lived.home, HashingEmbedder()).library
    found = {one.path: one for one in library.documents(OPERATOR, limit=10_000)}
    missing = [name for (name,) in lived.of("ingest") if name not in found]
    assert missing == []
    for document in found.values():
        sent = (lived.folder / document.path).read_bytes()
        assert library.original(document.id, OPERATOR).read_bytes() == sent
        assert len(library.chunks(document.id, OPERATOR)) == document.chunks


def test_no_stored_answer_is_lost(lived: Life) -> None:
    people = {one.name: one for one in Accounts(lived.home.database, lived.home.settings).list()}
    threads = Conversations(lived.home.database)
    for name, thread, asked, text in lived.of("chat"):
        person = people[name]
        account = Account(person.id, person.name, person.role, person.groups, False)
        said = {
            (turn.question, stored.answer.text)
            for turn in threads.get(thread, account).turns
            for stored in turn.answers
        }
        assert (asked, text) in said


def test_no_run_point_or_adapter_is_lost(lived: Life) -> None:
    runs, shelf = Runs(lived.home), Shelf(lived.home)
    for kind, *named in lived.of("training"):
        if kind == "run":
            assert runs.dataset_path(runs.get(named[0]).id).stat().st_size > 0
        elif kind == "point":
            assert named[1] in [point.step for point in runs.points(named[0])]
        elif kind == "adapter":
            assert shelf.get(named[0]).problem is None
        else:
            assert runs.get(named[0]).finished_at is not None


def test_no_row_of_an_evaluation_is_lost_and_none_is_asked_twice(lived: Life) -> None:
    service = evaluations(lived.home, good_assistant())
    last = 0
    for kind, number, done in lived.of("evaluation"):
        assert answered(service, number) >= done
        assert kind != "done" or service.get(number).state == "done"
        last = max(last, number)
    assistant = good_assistant()
    service = evaluations(lived.home, assistant, round=SEED + ROUNDS - 1)
    before = answered(service, last)
    service.run(last)
    assert service.get(last).state == "done"
    assert len(assistant.asked) <= 4 * 50 - before


def answered(service: Evaluations, number: int) -> int:
    return sum(arm["answered"] for arm in service.live(number).values())


def test_every_file_that_is_left_is_whole(lived: Life) -> None:
    assert check_files(lived.home) == []
