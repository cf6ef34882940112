"""What an installation does all day, in processes that are killed; each deed done is reported.

A deed is reported when its caller was told that it is done, never before: what was reported must
be there after any kill.
"""

import asyncio
import random
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from assistant.answering import Assistant, Question
from assistant.conversations import Conversations
from assistant.modes import AnswerMode
from assistant.shelf import Shelf
from core.accounts import Accounts
from core.home import Home, open_home
from core.permissions import Role
from core.progress import Silent
from eval.arms import Plan
from eval.question_sets import QuestionSets
from retrieval.service import open_retrieval
from tests.eval_fakes import evaluations, good_assistant, rows
from tests.fakes import HashingEmbedder, ListRetriever, ScriptedModel
from tests.unit.adapters import build_adapter
from training.config import parse_config
from training.runs import Point, Runs
from ui.line import Limits
from ui.readiness import Readiness
from ui.turns import Part, Turn, Turns

PASSWORD = "seven quiet lamps at noon"
WORDS = ["leave", "pay", "travel", "tools", "rooms", "badge", "audit", "night", "train"]

Report = Callable[..., None]


def work(kind: str, root: Path, folder: Path, seed: int, door: Connection) -> None:
    """Do deeds of one kind until killed."""
    home = open_home(workspace=root, evidence_finder="off", rag_reader="off")
    deeds = {"accounts": accounts, "ingest": ingest, "chat": chat,
             "evaluation": evaluation, "training": training}  # fmt: skip
    deeds[kind](home, folder, seed, lambda *deed: door.send((kind, *deed)))


def accounts(home: Home, _folder: Path, seed: int, report: Report) -> None:
    """People are added and change groups."""
    desk = Accounts(home.database, home.settings)
    for number in range(1000):
        account = desk.create(f"p{seed}-{number}", PASSWORD, Role.EMPLOYEE)
        report(account.name, ())
        desk.update(account.id, groups={"legal"})
        report(account.name, ("legal",))


def text_of(luck: random.Random) -> str:
    """A document of a few chunks."""
    parts = [" ".join(luck.choices(WORDS, k=150)) for _ in range(luck.randrange(1, 12))]
    return "\n\n".join(f"# Part {number}\n\n{part}." for number, part in enumerate(parts))


def ingest(home: Home, folder: Path, seed: int, report: Report) -> None:
    """Documents arrive, a few at a time."""
    luck = random.Random(seed)
    ingestor = open_retrieval(home, HashingEmbedder()).ingestor
    for number in range(1000):
        names = [f"{seed}-{number}-{one}.md" for one in range(luck.randrange(1, 4))]
        for name in names:
            (folder / name).write_text(text_of(luck), "utf-8")
        done = ingestor.ingest([folder / name for name in names])
        assert (done.documents, done.failed) == (len(names), [])
        for name in names:
            report(name)


def chat(home: Home, _folder: Path, seed: int, report: Report) -> None:
    """Somebody asks and is shown answers."""
    model = ScriptedModel(lambda text, _adapter: f"You said: {text}.")
    assistant = Assistant(model, ListRetriever([]), Shelf(home), home.settings)
    account = Accounts(home.database, home.settings).create(f"c{seed}", PASSWORD, Role.EMPLOYEE)
    threads = Conversations(home.database)
    readiness = Readiness(lambda: None, home.workspace.logs)
    turns = Turns(assistant, threads, readiness, Limits(1, 4, 4), home.workspace.logs)
    thread = threads.create(account, "talk")
    for number in range(1000):
        asked = f"word {luck_word(seed, number)}"
        parts = asyncio.run(
            ended(turns.ask(account, [Question(asked, AnswerMode.BASE)], thread.id))
        )
        assert parts[0].answer is not None, parts[0].problem
        report(account.name, thread.id, asked, parts[0].answer.text)


async def ended(turn: Turn) -> list[Part]:
    """Look until the answer is there."""
    version, done = -1, False
    while not done:
        version, parts, done = await turn.look(version, 1.0)
    return parts


def luck_word(seed: int, number: int) -> str:
    """Another word each time."""
    return f"{random.Random(seed * 1000 + number).randrange(10**9)}"


def evaluation(home: Home, _folder: Path, seed: int, report: Report) -> None:
    """One evaluation is run after another; none of their answers is made twice."""
    service = evaluations(home, good_assistant(), round=seed)
    chosen = QuestionSets(home).add(rows(), "rules").id
    number = service.create([chosen], Plan(adapters=("staff",), batch=2, latency_sample=0))
    report("created", number, 0)
    service.run(number, Told(lambda done: report("rows", number, done)))
    report("done", number, 0)


class Told(Silent):
    """A `Progress` that passes on how many rows are done."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell

    def update(
        self, done: float, total: float, note: str = "", seconds_left: float | None = None
    ) -> None:
        """Pass it on."""
        self._tell(int(done))


def training(home: Home, folder: Path, seed: int, report: Report) -> None:
    """Runs store their curves and put their adapters on the shelf."""
    runs, shelf = Runs(home), Shelf(home)
    data = folder / "data.jsonl"
    data.write_text('{"question": "q", "answer": "a"}\n')
    for number in range(1000):
        name = f"r{seed}-{number}"
        run = runs.create(name, parse_config({}), data)
        report("run", run)
        for step in range(5):
            runs.add_point(run, Point(step, 0.1, 1.0, None, 0.1, 1.0, 1.0))
            report("point", run, step)
        build_adapter(runs.folder(run) / "adapter", name.encode() * 50_000)
        shelf.install(name, runs.folder(run) / "adapter")
        report("adapter", name)
        runs.finish(run, name, {"steps": 5})
        report("finished", run)
