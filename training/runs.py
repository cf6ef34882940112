"""Training runs: what was asked, what the curves show, where the data and checkpoints lie."""

import builtins
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from assistant.shelf import Shelf, check_name, name_taken
from core.database import now
from core.errors import Conflict, NotFound, WorkspaceError
from core.home import Home
from core.job_store import JobStore
from core.workspace import remove_folder, write_atomically
from training.config import TrainingConfig, parse_config
from training.tables import RunPointRow, RunRow


@dataclass(frozen=True)
class RunOptions:
    """What a person decided about a run, besides its hyper-parameters."""

    skip_bad_rows: bool = False
    allow_overlap: bool = False
    from_adapter: str | None = None
    """Train on from this adapter instead of from fresh weights."""
    question_sets: tuple[str, ...] = ()
    """Paths of question sets whose wordings must not be in the data."""


@dataclass(frozen=True)
class Run:
    """One training run. Whether it runs, waits or failed is told by its job."""

    id: int
    name: str
    """Of the adapter it makes."""
    config: TrainingConfig
    options: RunOptions
    dataset_name: str
    dataset_sha256: str
    job_id: int | None
    account_id: int | None
    created_at: datetime
    finished_at: datetime | None
    metrics: dict[str, Any] | None
    """Filled when the adapter is on the shelf."""


@dataclass(frozen=True)
class Point:
    """The curves of a run after `step` steps; losses in nats per answer token."""

    step: int
    epoch: float
    train_loss: float | None
    """Mean since the last point; before the first step that of its examples, untrained."""
    validation_loss: float | None
    """On wordings never trained, of facts that are; None between validations."""
    learning_rate: float
    tokens_per_second: float
    """Tokens of examples, shared beginnings counted for each of them."""
    seconds: float
    """Of training so far, earlier attempts included."""
    reading_loss: float | None = None
    """On passages about facts that were never taught."""


@dataclass(frozen=True)
class Runs:
    """The runs of one installation."""

    home: Home

    def folder(self, run_id: int) -> Path:
        """Holds the data set's copy and the checkpoints."""
        return self.home.workspace.runs / str(run_id)

    def create(
        self,
        name: str,
        config: TrainingConfig,
        dataset: Path,
        options: RunOptions | None = None,
        account_id: int | None = None,
    ) -> int:
        """Store a run and a copy of its data; return its id. Nothing is trained yet.

        The name is the run's from now on, until its adapter is on the shelf or it is deleted.

        Raises:
            InvalidInput: a name that no adapter can have.
            Conflict: an adapter or an unfinished run has that name.
            WorkspaceError: the copy cannot be written.
        """
        check_name(name)
        options = options or RunOptions()
        content = dataset.read_bytes()
        with self.home.database.session() as session:
            row = RunRow(
                name=name,
                reserved=name,
                config=config.model_dump(mode="json"),
                options=_options_json(options),
                dataset_name=dataset.name,
                dataset_sha256=hashlib.sha256(content).hexdigest(),
                account_id=account_id,
            )
            self._reserve(session, row)
            run_id = row.id
            try:
                self.folder(run_id).mkdir(parents=True, exist_ok=True)
                target = self.folder(run_id) / f"dataset{dataset.suffix.lower() or '.jsonl'}"
                write_atomically(target, content)
            except OSError as error:
                raise WorkspaceError(
                    f"The data set cannot be copied to '{self.folder(run_id)}': {error.strerror}. "
                    "Free some disk, or make the workspace writable."
                ) from error
        return run_id

    def _reserve(self, session: Session, row: RunRow) -> None:
        """Store the row, unless its name is taken.

        The shelf is looked at after the row is written: a run that finishes meanwhile gives its
        name up only when its adapter is there.
        """
        try:
            session.add(row)
            session.flush()
        except IntegrityError as error:
            if "reserved" not in str(error.orig):
                raise
            raise _begun(row.name) from error
        if Shelf(self.home).taken(row.name):
            raise Conflict(name_taken(row.name))

    def require_free(self, name: str) -> None:
        """Raise `Conflict` where `create` would, before anything else is looked at."""
        check_name(name)
        if Shelf(self.home).taken(name):
            raise Conflict(name_taken(name))
        with self.home.database.session() as session:
            if session.scalar(select(RunRow.id).where(RunRow.reserved == name)) is not None:
                raise _begun(name)

    def dataset_path(self, run_id: int) -> Path:
        """The run's own copy of its data.

        Raises:
            NotFound: the copy is gone.
        """
        for path in sorted(self.folder(run_id).glob("dataset.*")):
            return path
        raise NotFound(
            f"The data of run {run_id} is missing in '{self.folder(run_id)}'. Start a new run."
        )

    def get(self, run_id: int) -> Run:
        """Return a run.

        Raises:
            NotFound: there is none with this id.
        """
        with self.home.database.session() as session:
            row = session.get(RunRow, run_id)
            if row is None:
                raise NotFound(f"There is no training run {run_id}. `list` shows the runs.")
            return _run(row)

    def list(self, limit: int | None = 50) -> builtins.list[Run]:
        """Return the newest runs first; `limit` None: all."""
        with self.home.database.session() as session:
            rows = session.scalars(select(RunRow).order_by(RunRow.id.desc()).limit(limit))
            return [_run(row) for row in rows]

    def unfinished(self, name: str) -> Run:
        """Return the newest run of that name that made no adapter yet.

        Raises:
            NotFound: there is none.
        """
        with self.home.database.session() as session:
            query = select(RunRow).where(RunRow.name == name, RunRow.finished_at.is_(None))
            row = session.scalar(query.order_by(RunRow.id.desc()).limit(1))
            if row is None:
                raise NotFound(
                    f"There is no unfinished run '{name}' to resume. `list` shows the runs."
                )
            return _run(row)

    def set_job(self, run_id: int, job_id: int) -> None:
        """Remember which job works on the run."""
        with self.home.database.session() as session:
            session.get_one(RunRow, run_id).job_id = job_id

    def finish(self, run_id: int, name: str, metrics: dict[str, Any]) -> None:
        """Note that the adapter is on the shelf as `name`, and drop the checkpoints."""
        with self.home.database.session() as session:
            row = session.get_one(RunRow, run_id)
            row.name, row.reserved = name, None
            row.finished_at, row.metrics = now(), metrics
        remove_folder(self.folder(run_id) / "checkpoints")

    def require_idle(self, run: Run) -> None:
        """Raise `Conflict` while a job works on the run, or waits to."""
        store = JobStore(self.home.database)
        if run.job_id is not None and store.get(run.job_id).active:
            raise Conflict(f"Run {run.id} '{run.name}' is being trained. Stop it first.")

    def require_unused(self, adapter: str) -> None:
        """Raise `Conflict` while a run that goes on from `adapter` is trained, or waits to be."""
        for run in self.list(limit=None):
            if run.finished_at is None and run.options.from_adapter == adapter:
                self.require_idle(run)

    def delete(self, run_id: int) -> None:
        """Delete a run, its points, its copy of the data and its checkpoints.

        Raises:
            NotFound: there is none with this id.
            Conflict: a job works on it.
        """
        self.require_idle(self.get(run_id))
        self.home.database.make_room()
        with self.home.database.session() as session:
            session.execute(delete(RunPointRow).where(RunPointRow.run_id == run_id))
            session.execute(delete(RunRow).where(RunRow.id == run_id))
        remove_folder(self.folder(run_id))

    def add_point(self, run_id: int, point: Point) -> None:
        """Store a point at once; one of the same step is replaced."""
        with self.home.database.session() as session:
            session.merge(RunPointRow(run_id=run_id, **vars(point)))

    def points(self, run_id: int, after: int = -1) -> builtins.list[Point]:
        """Return the points of steps beyond `after`, in order."""
        with self.home.database.session() as session:
            rows = session.scalars(
                select(RunPointRow)
                .where(RunPointRow.run_id == run_id, RunPointRow.step > after)
                .order_by(RunPointRow.step)
            )
            return [_point(row) for row in rows]

    def rewind(self, run_id: int, step: int) -> float:
        """Forget points beyond `step`, which will be trained again; return the seconds spent."""
        with self.home.database.session() as session:
            session.execute(
                delete(RunPointRow).where(RunPointRow.run_id == run_id, RunPointRow.step > step)
            )
            query = select(func.max(RunPointRow.seconds)).where(RunPointRow.run_id == run_id)
            return session.scalar(query) or 0.0


def _begun(name: str) -> Conflict:
    return Conflict(
        f"The run '{name}' was begun and not finished, and its adapter will have that name. Choose "
        "another, or go on with that run: resume it on the Training page or with --resume. Or "
        f"delete it there, or with: python -m training delete {name}"
    )


def free_bytes(folder: Path) -> int:
    """Room left on the disk of `folder`."""
    return shutil.disk_usage(folder).free


def _options_json(options: RunOptions) -> dict[str, Any]:
    return {**vars(options), "question_sets": list(options.question_sets)}


def _options(stored: dict[str, Any]) -> RunOptions:
    sets: Sequence[str] = stored.get("question_sets", ())
    return RunOptions(**{**stored, "question_sets": tuple(sets)})


def _run(row: RunRow) -> Run:
    return Run(
        row.id, row.name, parse_config(row.config), _options(row.options), row.dataset_name,
        row.dataset_sha256, row.job_id, row.account_id, row.created_at, row.finished_at,
        row.metrics,
    )  # fmt: skip


def _point(row: RunPointRow) -> Point:
    return Point(
        row.step, row.epoch, row.train_loss, row.validation_loss, row.learning_rate,
        row.tokens_per_second, row.seconds, row.reading_loss,
    )  # fmt: skip
