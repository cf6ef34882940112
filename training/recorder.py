"""Follows a run: stores its curves, reports progress, validates, hears the wish to stop."""

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from core.errors import Stopped
from core.progress import Progress
from training.checkpoint_files import checkpoint_step
from training.config import TrainingConfig
from training.divergence import diverged, unlearned, unsound
from training.runs import Point, Runs
from training.schedule import Pass, Plan, early_end, tokens_of

_POINT_SECONDS = 1.0
"""A faster run stores fewer points than steps."""
_RECENT = 8
"""Steps whose mean loss must be sound: one alone may be bad and come back."""


class Learner(Protocol):
    """What is followed."""

    last_loss: float
    """Mean over the learned tokens of the last step, in nats."""
    guess: float
    """The loss of taking all tokens for equally likely."""

    def mean_loss(self, passes: Sequence[Pass]) -> float | None:
        """Cross-entropy per learned token of examples that are not trained on."""


@dataclass
class Recorder:
    """Told of every step; the database then knows of it."""

    runs: Runs
    run_id: int
    config: TrainingConfig
    plan: Plan
    progress: Progress
    stopped: bool = False
    step: int = 0
    """Steps done, earlier attempts included."""
    _validations: list[float] = field(default_factory=list)
    _losses: list[float] = field(default_factory=list)
    """Of the steps since the last stored point, as the next three."""
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _untrained: float | None = None
    """Loss of the first step's examples before any was learned; earlier versions kept none."""
    _tokens: int = 0
    _since: float = 0.0
    _started: float = 0.0
    _all_tokens: int = 0
    _busy: float = 0.0
    _rate: float = 0.0

    def __post_init__(self) -> None:
        self._total = len(self.plan.steps)
        sizes = (tokens_of(step) for step in self.plan.steps)
        self._before = list(accumulate(sizes, initial=0))

    def begin(self, learner: Learner, checkpoint: Path | None) -> None:
        """Take up the curves where `checkpoint` was written, or start them."""
        self.step = checkpoint_step(checkpoint) if checkpoint else 0
        earlier = self.runs.rewind(self.run_id, self.step if checkpoint else -1)
        points = self.runs.points(self.run_id)
        self._validations = [p.validation_loss for p in points if p.validation_loss is not None]
        self._started = time.monotonic() - earlier
        if checkpoint:
            self.progress.log(f"Resumed after step {self.step:,} of {self._total:,}.")
            first = points[0] if points else None
            self._untrained = first.train_loss if first and first.step == 0 else None
        else:
            self.progress.log(f"{self._total:,} steps, {self._before[-1]:,} tokens.")
            self._untrained = learner.mean_loss(self.plan.steps[0])
            self._losses = [] if self._untrained is None else [self._untrained]
            self._store(0.0, *self._validate(learner))
        self._since = time.monotonic()

    def step_done(self, learner: Learner, step: int, learning_rate: float) -> bool:
        """Record a step; tell whether the run should end here.

        Raises:
            InvalidInput: training diverged.
        """
        self.step = step
        self._require_sound(learner)
        self._tokens += self._before[step] - self._before[step - 1]
        self._losses.append(learner.last_loss)
        spent = time.monotonic() - self._since
        due = self._validation_due(step)
        if due or spent >= _POINT_SECONDS:
            self._count(spent)
            losses = self._validate(learner) if due else (None, None)
            self._store(learning_rate, *losses)
            self._since = time.monotonic()
        self._report(learner.last_loss)
        self.stopped = step < self._total and self.progress.stop_requested()
        early = due and early_end(self._validations, self.config.patience)
        if step == self._total or (early and not self.stopped):
            after = learner.mean_loss(self.plan.steps[0])
            if after is not None and (reason := unlearned(after, self._untrained)):
                raise self._diverged(reason)
        return self.stopped or early

    def _require_sound(self, learner: Learner) -> None:
        self._recent.append(learner.last_loss)
        mean = sum(self._recent) / len(self._recent)
        reason = unsound(mean, learner.guess, self._untrained)
        # A number that is none never comes back; a bad one may, within a few steps.
        if reason and (len(self._recent) == _RECENT or not math.isfinite(mean)):
            raise self._diverged(reason)

    def sound(self, learner: Learner) -> bool:
        """Tell whether the last step leaves something worth going on from."""
        return unsound(learner.last_loss, learner.guess, self._untrained) is None

    def _diverged(self, reason: str) -> Exception:
        config = self.config
        return diverged(self.step, reason, config.learning_rate, config.gradient_clipping)

    def raise_if_stopped(self) -> None:
        """Raise `Stopped` when the run ended because somebody asked."""
        if self.stopped:
            raise Stopped(
                f"Stopped after step {self.step:,} of {self._total:,}. "
                "Resume the run to go on from there."
            )

    def metrics(self) -> dict[str, Any]:
        """What the manifest says about the run."""
        points = self.runs.points(self.run_id)
        return {
            "steps": self.step,
            "seconds": round(time.monotonic() - self._started, 1),
            "tokens_per_second": round(self._all_tokens / self._busy, 1) if self._busy else None,
            "train_loss": _last([point.train_loss for point in points]),
            "validation_loss": _last([point.validation_loss for point in points]),
            "reading_loss": _last([point.reading_loss for point in points]),
        }

    def _count(self, spent: float) -> None:
        self._rate = self._tokens / max(spent, 1e-6)
        self._all_tokens += self._tokens
        self._busy += spent
        self._tokens = 0

    def _validation_due(self, step: int) -> bool:
        every = self.config.validate_every or max(1, round(self.plan.steps_per_epoch))
        return step % every == 0 or step == self._total

    def _validate(self, learner: Learner) -> tuple[float | None, float | None]:
        self.progress.update(self.step, self._total, "validating")
        wordings = learner.mean_loss(self.plan.wordings)
        reading = learner.mean_loss(self.plan.reading)
        for loss in (wordings, reading):
            if loss is not None and (reason := unlearned(loss, None)):
                raise self._diverged(reason)
        if wordings is not None:
            self._validations.append(wordings)
        return wordings, reading

    def _store(self, learning_rate: float, validation: float | None, reading: float | None) -> None:
        loss = sum(self._losses) / len(self._losses) if self._losses else None
        self._losses = []
        point = Point(
            step=self.step,
            epoch=self.plan.epoch(self.step),
            train_loss=loss,
            validation_loss=validation,
            learning_rate=learning_rate,
            tokens_per_second=self._rate,
            seconds=time.monotonic() - self._started,
            reading_loss=reading,
        )
        self.runs.add_point(self.run_id, point)

    def _report(self, loss: float) -> None:
        note = f"epoch {self.plan.epoch(self.step):.1f}, loss {loss:.3f}"
        seconds = None
        if self._rate:
            seconds = (self._before[-1] - self._before[self.step]) / self._rate
            note += f", {self._rate:,.0f} tokens/s"
        self.progress.update(self.step, self._total, note, seconds)


def _last(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(known[-1], 4) if known else None
