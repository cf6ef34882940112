"""The reader's training loop on a tiny model: learns, resumes, and is served by the engine."""

from pathlib import Path

import pytest

from assistant.engines.source import ModelSource, fingerprint
from assistant.manifest import read_manifest
from assistant.prompts import REFUSAL, render
from assistant.reader import builtin_reader
from core.errors import Stopped
from core.progress import Silent
from core.settings import Settings
from retrieval.passages import Passage
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
    steps = steps_of([tokenizer.encode(example) for example in examples()], CONFIG)
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


def test_without_files_there_is_no_reader(tmp_path: Path) -> None:
    assert builtin_reader("any", tmp_path) is None
