"""Kills and garbled files where the remedy is another part's: questions, checkpoints."""

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from assistant.answering import Assistant
from assistant.conversations import Conversations
from assistant.modes import AnswerMode
from assistant.shelf import Shelf
from core.accounts import Accounts
from core.errors import InhouseError
from core.home import Home, open_home
from core.permissions import Account, Role
from tests.fakes import ListRetriever, ScriptedModel
from training.checkpoint import Checkpoint
from ui.asking import Asked, ask
from ui.turns import Turns

PASSWORD = "seven quiet lamps at noon"
QUESTION = "How long is leave?"


def never_ending(_text: str, _adapter: object) -> str:
    """A model that has not answered yet when the process dies."""
    time.sleep(600)
    return ""


def ask_for_ever(root: Path, door: Connection) -> None:
    """Accept a question, say so, and never come to the end of the answer."""
    home = open_home(workspace=root, evidence_finder="off", rag_reader="off")
    model = ScriptedModel(never_ending)
    assistant = Assistant(model, ListRetriever([]), Shelf(home), home.settings)
    threads = Conversations(home.database)
    turns = Turns(assistant, threads, home.workspace.logs)
    account = Accounts(home.database, home.settings).create("ada", PASSWORD, Role.EMPLOYEE)
    services = SimpleNamespace(conversations=threads, turns=turns)
    turn = ask(services, account, Asked(QUESTION, [AnswerMode.BASE], None, None))  # type: ignore[arg-type]
    door.send((account.id, turn.conversation_id))
    time.sleep(600)


def test_a_question_that_was_accepted_survives_a_kill(home: Home) -> None:
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=ask_for_ever, args=(home.workspace.root, there), daemon=True)
    child.start()
    try:
        assert here.poll(120), "nothing was accepted"
        person, thread = here.recv()
    finally:
        child.kill()
        child.join(60)
    account = Account(person, "ada", Role.EMPLOYEE, frozenset(), False)
    turns = Conversations(home.database).get(thread, account).turns
    assert [turn.question for turn in turns] == [QUESTION]


def halve(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def garble(file: Path) -> None:
    file.write_bytes(bytes(255 - byte for byte in file.read_bytes()))


@pytest.mark.parametrize("spoil", [halve, empty, garble])
@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
def test_a_garbled_checkpoint_is_told_or_passed_over(
    tmp_path: Path, name: str, spoil: Callable[[Path], None]
) -> None:
    parameters = {"a": torch.nn.Parameter(torch.ones(3))}
    optimizer = torch.optim.AdamW(parameters.values())
    checkpoint = Checkpoint(tmp_path / "state", {"data": "x"})
    for step in (1, 2):
        checkpoint.save(step, parameters, optimizer)
    spoil(tmp_path / "state" / name)
    try:
        assert checkpoint.load(parameters, optimizer) in (0, 1)
    except InhouseError as error:
        assert "checkpoint" in error.message.lower()
