"""When a run must end because training makes the model worse: the recorder, without a model."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.errors import InvalidInput
from core.home import Home
from core.progress import Silent
from training.config import preset
from training.prefix_tree import Tokens
from training.recorder import Recorder
from training.runs import Runs
from training.schedule import Pass, Plan

STEPS = 30
GUESS = math.log(50_000)


@dataclass
class Losses:
    """A learner whose training losses are given; untrained it stands at 2.5."""

    by_step: Sequence[float]
    after: float = 1.0
    last_loss: float = 0.0
    guess: float = GUESS
    begun: bool = field(default=False)

    def mean_loss(self, passes: Sequence[Pass]) -> float | None:
        """The loss of the first step's examples, before and after."""
        if not passes:
            return None
        if self.begun:
            return self.after
        self.begun = True
        return 2.5


def follow(home: Home, folder: Path, learner: Losses) -> Recorder:
    """Go through a run as the trainer does."""
    data = folder / "data.jsonl"
    data.write_text(json.dumps({"question": "Who?", "answer": "Mara."}), "utf-8")
    config = preset("quick", learning_rate=0.3)
    number = Runs(home).create("doors", config, data)
    step = ((Tokens((5, 6, 7), 1),),)
    plan = Plan((step,) * STEPS, STEPS / 2, (), (), 0)
    recorder = Recorder(Runs(home), number, config, plan, Silent())
    recorder.begin(learner, None)
    for number, loss in enumerate(learner.by_step, start=1):
        learner.last_loss = loss
        recorder.step_done(learner, number, 0.1)
    return recorder


def test_a_run_that_learns_ends_well_whatever_one_step_does(home: Home, tmp_path: Path) -> None:
    learner = Losses([2.5, 2.0, 40.0, *[1.0] * (STEPS - 3)])
    recorder = follow(home, tmp_path, learner)
    assert recorder.sound(learner)
    assert recorder.metrics()["train_loss"] == 1.0
    learner.last_loss = 40.0
    assert not recorder.sound(learner), "nothing to go on from is made of a bad step"


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_ends_it_at_once(home: Home, tmp_path: Path, loss: float) -> None:
    learner = Losses([2.5, loss, *[1.0] * (STEPS - 2)])
    with pytest.raises(InvalidInput, match=r"step 2: .*no number any more.*learning_rate \(0\.3\)"):
        follow(home, tmp_path, learner)
    assert not any(
        point.train_loss is not None and not math.isfinite(point.train_loss)
        for point in Runs(home).points(1)
    )


def test_worse_than_a_blind_guess_for_some_steps_ends_it(home: Home, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"the loss, 2\d\.\d, is worse than .*guess, 10\.8"):
        follow(home, tmp_path, Losses([23.0] * STEPS))


@pytest.mark.parametrize("after", [3.6, 9.0, 23.0, math.nan])
def test_what_knows_less_at_the_end_than_before_is_not_done(
    home: Home, tmp_path: Path, after: float
) -> None:
    learner = Losses([2.5] * STEPS, after=after)
    with pytest.raises(InvalidInput, match=f"diverged at step {STEPS}: the loss .*No adapter"):
        follow(home, tmp_path, learner)


def test_a_model_that_starts_worse_than_guessing_may_learn(home: Home, tmp_path: Path) -> None:
    learner = Losses([2.6] * STEPS, after=2.4, guess=1.0)
    assert follow(home, tmp_path, learner).step == STEPS
