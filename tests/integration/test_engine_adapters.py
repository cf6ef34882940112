"""Adapters come onto the model without holding up answers that do without them."""

import threading
from pathlib import Path

from assistant.engines.base import AdapterRef, Sampling
from assistant.engines.source import ModelSource, fingerprint
from assistant.engines.transformers_adapters import AdapterWeights
from assistant.engines.transformers_engine import TransformersModel
from assistant.modes import Message
from core.settings import Settings
from tests.integration.adapters import make_adapter
from tests.integration.tiny_model import write_tiny_model
from tests.waiting import PATIENCE_S

SAYING = Sampling(4)
ASKED = [Message("user", "How many days of leave?")]


class SlowDisk:
    """The engine's adapters, read from a disk that waits for the test."""

    def __init__(self, adapters: object) -> None:
        self._adapters = adapters
        self.reading = threading.Event()
        self.go = threading.Event()

    def read(self, adapter: AdapterRef) -> AdapterWeights:
        self.reading.set()
        assert self.go.wait(PATIENCE_S)
        return self._adapters.read(adapter)  # type: ignore[attr-defined, no-any-return]

    def activate(self, adapter: AdapterRef | None, weights: AdapterWeights | None) -> bool:
        return self._adapters.activate(adapter, weights)  # type: ignore[attr-defined, no-any-return]


def test_reading_an_adapter_holds_up_no_other_answer(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny", ["How many days of leave are there?"])
    source = ModelSource("tiny", folder, fingerprint(folder.glob("*.safetensors")))
    adapter = make_adapter(tmp_path / "one", source, seed=1, targets=["q_proj", "v_proj"])
    engine = TransformersModel(source, Settings(device="cpu", dtype="fp32"))
    alone = "".join(engine.stream(ASKED, adapter=adapter, sampling=SAYING))
    plain = "".join(engine.stream(ASKED, adapter=None, sampling=SAYING))

    engine = TransformersModel(source, Settings(device="cpu", dtype="fp32"))
    disk = SlowDisk(engine._adapters)
    engine._adapters = disk  # type: ignore[assignment]
    said: list[str] = []
    tuned = threading.Thread(
        target=lambda: said.append("".join(engine.stream(ASKED, adapter=adapter, sampling=SAYING)))
    )
    tuned.start()
    assert disk.reading.wait(PATIENCE_S)
    assert "".join(engine.stream(ASKED, adapter=None, sampling=SAYING)) == plain
    assert said == []
    disk.go.set()
    tuned.join(PATIENCE_S)
    assert said == [alone]
