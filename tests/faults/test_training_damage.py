"""Real runs on a tiny model: garbled checkpoints, losses that explode, weights that are none."""

import gc
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from assistant.shelf import Shelf
from core.errors import InvalidInput, Stopped
from core.home import Home, open_home
from tests.integration.doors import Watcher, data, model_folder, small
from training.checkpoint import Checkpoint
from training.checkpoint_files import SEAL
from training.runs import Run, RunOptions, Runs
from training.service import execute, start_run

__all__ = ["data", "model_folder"]


@pytest.fixture
def here(tmp_path: Path, model_folder: Path) -> Iterator[Home]:
    opened = open_home(workspace=tmp_path / "workspace", model=str(model_folder))
    yield opened
    opened.database.close()


def stopped_run(home: Home, data: Path, at: int = 9, **changes: Any) -> tuple[Run, Path]:
    """A run that was stopped after some steps, and its folder of checkpoints."""
    run = start_run(home, "doors", small(**changes), data, RunOptions())
    with pytest.raises(Stopped):
        execute(home, run.id, Watcher(stop_at=at))
    return run, Runs(home).folder(run.id) / "checkpoints"


def installed(home: Home) -> list[str]:
    return [info.name for info in Shelf(home).list()]


def test_a_garbled_checkpoint_falls_back_to_the_one_before_and_then_to_the_start(
    here: Home, data: Path
) -> None:
    run, folder = stopped_run(here, data)
    names = sorted(one.name for one in folder.iterdir())
    assert names == ["checkpoint-8", "checkpoint-9"]
    assert not list(folder.rglob("training_args.bin"))
    (folder / "checkpoint-9" / "optimizer.pt").write_bytes(b"\x80\x04 no state at all")
    watcher = Watcher(stop_at=10)
    with pytest.raises(Stopped):
        execute(here, run.id, watcher)
    said = [line for line in watcher.lines if "is not used" in line]
    assert said == [
        "The checkpoint after step 9 is not used: optimizer.pt is not as it was written."
    ]
    assert any("Resumed after step 8" in line for line in watcher.lines)
    for weights in folder.rglob("adapter_model.safetensors"):
        weights.write_bytes(weights.read_bytes()[:100])
    (Runs(here).folder(run.id) / "plan.json").write_text("{garbled", "utf-8")
    last = Watcher()
    assert execute(here, run.id, last)["adapter"] == "doors"
    assert any("plan of this run is damaged" in line for line in last.lines)
    assert not any("Resumed" in line for line in last.lines)
    assert Runs(here).points(run.id)[0].step == 0


def test_what_destroys_what_was_known_ends_the_run_and_installs_nothing(
    here: Home, data: Path
) -> None:
    first = start_run(here, "first", small(epochs=12), data, RunOptions())
    execute(here, first.id, Watcher())
    config = small(learning_rate=1.0, gradient_clipping=0.0, epochs=8)
    run = start_run(here, "wild", config, data, RunOptions(from_adapter="first"))
    with pytest.raises(InvalidInput, match=r"diverged at step .*gradient_clipping to 1"):
        execute(here, run.id, Watcher())
    assert installed(here) == ["first"]
    assert Runs(here).get(run.id).finished_at is None


class Poison(Watcher):
    """Makes a learned weight no number after some step, as a bad gradient would."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def update(
        self, done: float, total: float, note: str = "", seconds_left: float | None = None
    ) -> None:
        super().update(done, total, note, seconds_left)
        if done == self._at and not note.startswith("preparing"):
            for model in _models_in_training():
                learned = next(p for p in model.parameters() if p.requires_grad)
                learned.data[0] = math.nan


def _models_in_training() -> list[Any]:
    return [one for one in gc.get_objects() if type(one).__name__ == "PeftModelForCausalLM"]


def test_a_weight_that_is_no_number_is_never_kept_and_the_last_sound_checkpoint_is(
    here: Home, data: Path
) -> None:
    run = start_run(here, "doors", small(checkpoint_every=4), data, RunOptions())
    with pytest.raises(InvalidInput, match="no number any more"):
        execute(here, run.id, Poison(8))
    folder = Runs(here).folder(run.id) / "checkpoints"
    assert [one.parent.name for one in folder.glob(f"*/{SEAL}")] == ["checkpoint-4"]
    assert installed(here) == []
    watcher = Watcher()
    assert execute(here, run.id, watcher)["adapter"] == "doors"
    assert any("Resumed after step 4" in line for line in watcher.lines)


def loop(folder: Path, lines: list[str]) -> tuple[Checkpoint, dict[str, nn.Parameter], Any]:
    parameters = {"w": nn.Parameter(torch.zeros(3))}
    optimizer = torch.optim.AdamW(parameters.values(), lr=0.1)
    return Checkpoint(folder, {"data": "x"}, lines.append), parameters, optimizer


def test_the_small_loops_fall_back_too_and_keep_no_weight_that_is_none(tmp_path: Path) -> None:
    lines: list[str] = []
    checkpoint, parameters, optimizer = loop(tmp_path / "c", lines)
    assert checkpoint.load(parameters, optimizer) == 0
    for step in (1, 2, 3):
        parameters["w"].grad = torch.ones(3)
        optimizer.step()
        checkpoint.save(step, parameters, optimizer)
    kept = parameters["w"].detach().clone()
    parameters["w"].data[0] = math.inf
    with pytest.raises(InvalidInput, match="diverged at step 4"):
        checkpoint.save(4, parameters, optimizer)
    checkpoint, parameters, optimizer = loop(tmp_path / "c", lines)
    assert checkpoint.load(parameters, optimizer) == 3
    assert torch.equal(parameters["w"], kept)
    assert optimizer.state[parameters["w"]]["step"] == 3
    (tmp_path / "c" / "checkpoint-3" / "state.safetensors").write_bytes(b"half")
    assert checkpoint.load(parameters, optimizer) == 2
    (tmp_path / "c" / "checkpoint-2" / "state.json").write_text("{")
    assert checkpoint.load(parameters, optimizer) == 0
    assert len(lines) == 2
