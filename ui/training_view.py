"""What the Training page shows: pure translation."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from assistant.manifest import AdapterInfo
from core.jobs import Job
from training.config import TrainingConfig
from training.dataset import Dataset
from training.preparation import Rendered
from training.rows import Problem, Severity
from training.runs import Point, Run
from ui.markup import piece
from ui.parts import job_html
from ui.plots import Series, line_plot

SHOWN_PROBLEMS = 100


def dataset_html(dataset: Dataset, overlaps: Sequence[Problem]) -> str:
    """Render what was found in a data file."""
    problems = [*overlaps, *dataset.problems]
    order = sorted(problems, key=lambda p: p.severity is not Severity.ERROR)
    reasons = Counter((p.reason, p.severity is Severity.ERROR) for p in problems)
    return piece(
        "dataset.html", d=dataset, summary=dataset.summary, problems=order[:SHOWN_PROBLEMS],
        total=len(order), reasons=sorted(reasons.items(), key=lambda item: -item[1]),
        error=Severity.ERROR,
    )  # fmt: skip


def preview_html(examples: Sequence[Rendered]) -> str:
    """Render examples as the model will see them; the trained part is marked."""
    return piece("preview.html", examples=examples)


def loss_plot(points: Sequence[Point]) -> Markup:
    """Plot the losses by step."""
    train = [(p.step, p.train_loss) for p in points if p.train_loss is not None]
    held = [(p.step, p.validation_loss) for p in points if p.validation_loss is not None]
    reading = [(p.step, p.reading_loss) for p in points if p.reading_loss is not None]
    series = [Series("training", train, 1), Series("validation: new wordings", held, 2)]
    if reading:
        series.append(Series("validation: reading", reading, 3))
    return line_plot(series, "step", "loss")


def run_html(run: Run, job: Job | None, points: Sequence[Point], log: str) -> str:
    """Render a run: progress, figures, plot, log."""
    last = points[-1] if points else None
    held = [p.validation_loss for p in points if p.validation_loss is not None]
    trained = [p.train_loss for p in points if p.train_loss is not None]
    figures: list[tuple[str, Any]] = [
        ("step", last.step if last else None),
        ("epoch", round(last.epoch, 2) if last else None),
        ("tokens a second", round(last.tokens_per_second) if last else None),
        ("training loss", trained[-1] if trained else None),
        ("validation loss", held[-1] if held else None),
    ]
    return piece(
        "run.html", run=run, figures=figures, plot=loss_plot(points),
        job=job_html(job, log), config=config_rows(run.config),
    )  # fmt: skip


def config_rows(config: TrainingConfig) -> list[tuple[str, str]]:
    """Return every hyper-parameter with its value."""
    return [
        (name.replace("_", " "), str(value))
        for name, value in config.model_dump(mode="json").items()
    ]


def runs_html(rows: Sequence[tuple[Run, Job | None]]) -> str:
    """Render the list of runs."""
    return piece("runs.html", rows=rows)


def shelf_html(adapters: Sequence[AdapterInfo], default: str | None) -> str:
    """Render the shelf of adapters."""
    return piece("shelf.html", adapters=adapters, default=default)
