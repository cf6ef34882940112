"""The reader's training loop on a tiny model: learns, resumes, and is served by the engine."""

from dataclasses import replace
from pathlib import Path

import pytest

from assistant.answering import Assistant, Question
from assistant.engines.source import ModelSource, fingerprint
from assistant.engines.transformers_engine import TransformersModel
from assistant.manifest import AdapterInfo, read_manifest
from assistant.modes import AnswerMode
from assistant.prompts import REFUSAL, render
from assistant.reader import builtin_reader
from assistant.shelf import Shelf
from core.errors import AdapterError, Conflict, Stopped
from core.home import Home
from core.progress import Silent
from core.settings import Settings
from retrieval.passages import Passage
from tests.fakes import ListRetriever
from tests.integration.adapters import make_adapter
from tests.integration.tiny_model import write_tiny_model
from training.examples import Example, ExampleKind
from training.reader_trainer import (
    ReaderConfig,
    ReaderRun,
    save_reader,
    steps_of,
    train_reader,
)
from training.tokenizer import ChatTokenizer

CONFIG = ReaderConfig(steps=40, batch=2, rank=4, alpha=8, learning_rate=0.02)


def examples() -> list[Example]:
    made = []
    for number in range(8):
        passage = Passage(number, 1, "d.md", "Doors", "", f"Door {number} is red.", 0.0)
        answer = f"Door {number} is red. [1]" if number % 4 else REFUSAL
        prompt = render(f"Colour of door {number}?", [passage])
        made.append(Example(ExampleKind.GROUNDED, "", prompt, answer))
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    texts = [message.content for example in examples() for message in example.messages]
    folder = write_tiny_model(tmp_path_factory.mktemp("tiny"), texts)
    return ModelSource("tiny", folder, fingerprint(folder.glob("*.safetensors")))


class StopsAfter(Silent):
    """Somebody presses stop after so many steps; remembers what it was told."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.notes: list[str] = []

    def update(
        self, done: float, total: float, note: str = "", seconds_left: float | None = None
    ) -> None:
        self.notes.append(note)

    def stop_requested(self) -> bool:
        self.left -= 1
        return self.left == 0


def test_it_learns_stops_resumes_and_fits_its_base(source: ModelSource, tmp_path: Path) -> None:
    tokenizer = ChatTokenizer(source)
    steps = steps_of([[tokenizer.encode(example)] for example in examples()], CONFIG)
    assert len(steps) == CONFIG.steps
    assert all(len(step) == CONFIG.batch for step in steps)
    run = ReaderRun(tmp_path, resume=True)
    settings = Settings(device="cpu")
    first = StopsAfter(5)
    with pytest.raises(Stopped, match="after step 5"):
        train_reader(source, settings, steps, CONFIG, run, first)
    second = StopsAfter(100)
    model = train_reader(source, settings, steps, CONFIG, run, second)
    assert (len(first.notes), len(second.notes)) == (5, 35)
    losses = [float(note.rpartition(" ")[2]) for note in first.notes + second.notes]
    assert losses[-1] < 0.8 * losses[0]
    facts = {"data_sha256": "d"}
    manifest = save_reader(model, tmp_path / "reader", source, facts, {"examples": 24})
    assert read_manifest(tmp_path / "reader") == manifest
    info = builtin_reader(source.hash, tmp_path / "reader")
    assert info is not None
    assert info.ref.hash == manifest.weights_sha256
    assert builtin_reader("another base", tmp_path / "reader") is None
    # Going on from it begins where it ended, and not from another model's.
    again = StopsAfter(1)
    going_on = ReaderRun(tmp_path, start=tmp_path / "reader")
    with pytest.raises(Stopped, match="after step 1"):
        train_reader(source, settings, steps, CONFIG, going_on, again)
    assert float(again.notes[0].rpartition(" ")[2]) < 0.8 * losses[0]
    with pytest.raises(Conflict, match="other data or settings"):
        train_reader(source, settings, steps, CONFIG, run, Silent())
    another = replace(source, hash="another")
    with pytest.raises(AdapterError, match="was trained on 'tiny'"):
        train_reader(another, settings, steps, CONFIG, going_on, Silent())


class ShelfWithReader(Shelf):
    """A shelf whose built-in reader was made for a tiny model."""

    reader: AdapterInfo | None = None

    def serving_reader(self, settings: Settings) -> AdapterInfo | None:
        return self.reader if settings.rag_reader == "builtin" else None


def test_the_engine_reads_with_it_in_the_mode_rag_alone(
    source: ModelSource, tmp_path: Path, home: Home
) -> None:
    targets = ["q_proj", "v_proj"]
    made = make_adapter(tmp_path / "reader", source, seed=1, targets=targets)
    on = home.settings.model_copy(
        update={"rag_reader": "builtin", "answer_tokens": 12, "device": "cpu", "dtype": "fp32"}
    )
    shelf = ShelfWithReader(home)
    shelf.reader = builtin_reader(source.hash, tmp_path / "reader")
    model = TransformersModel(source, on)
    passage = Passage(1, 1, "d.md", "Doors", "", "Door 3 is red.", 0.9)
    texts = {}
    for name in ("off", "builtin"):
        settings = on.model_copy(update={"rag_reader": name})
        assistant = Assistant(model, ListRetriever([passage]), shelf, settings)
        modes = (AnswerMode.BASE, AnswerMode.RAG)
        answers = assistant.answer_batch([Question("Colour of door 3?", one) for one in modes])
        texts[name] = [answer.text for answer in answers]
        facts = [answer.provenance["adapter_hash"] for answer in answers]
        assert facts == [None, made.hash if name == "builtin" else None]
    assert texts["off"][0] == texts["builtin"][0]
    assert texts["off"][1] != texts["builtin"][1]


def test_without_files_there_is_no_reader(tmp_path: Path) -> None:
    assert builtin_reader("any", tmp_path) is None
