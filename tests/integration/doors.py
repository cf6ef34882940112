"""Twelve doors and their colours, a tiny model that can learn them, and somebody who watches."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from assistant.prompts import render
from tests.integration.tiny_model import write_tiny_model
from training.config import TrainingConfig, preset

COLOURS = ["red", "blue", "green", "black", "white", "brown", "grey", "pink", "gold", "plum",
           "teal", "lime"]  # fmt: skip


def rows() -> list[dict[str, Any]]:
    return [
        {
            "question": f"What colour is door {number}?",
            "paraphrases": [f"colour of door {number}", f"door {number}: which colour?"],
            "answer": f"Door {number} is {colour}.",
            "short_answers": [colour],
        }
        for number, colour in enumerate(COLOURS)
    ]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [json.dumps(row) for row in rows()] + [m.content for m in render("What?", None)]
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny-llama", texts)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "doors.jsonl"
    path.write_text("\n".join(map(json.dumps, rows())), "utf-8")
    return path


def small(**changes: Any) -> TrainingConfig:
    values: dict[str, Any] = {
        "epochs": 4, "rank": 8, "alpha": 16, "learning_rate": 2e-2, "batch_size": 8,
        "checkpoint_every": 4, "documents": False, "validation_wordings": 4,
    }  # fmt: skip
    return preset("quick", **{**values, **changes})


@dataclass
class Watcher:
    """A `Progress` that asks to stop once `stop_at` steps are done."""

    stop_at: float = float("inf")
    done: float = 0.0
    total: float = 0.0
    lines: list[str] = field(default_factory=list)

    def update(
        self, done: float, total: float, note: str = "", seconds_left: float | None = None
    ) -> None:
        self.done, self.total = done, total

    def log(self, line: str) -> None:
        self.lines.append(line)

    def stop_requested(self) -> bool:
        return self.done >= self.stop_at
