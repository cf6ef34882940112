"""The Training page: data in, checked and previewed; a run watched; adapters on a shelf."""

import json
import shutil
from pathlib import Path
from typing import Any

import gradio as gr

from assistant.engines.source import locate_model
from assistant.prompts import profile_of
from core.errors import Conflict, InvalidInput, NotFound
from core.jobs import Job
from core.permissions import Account
from core.values import whole
from core.workspace import write_atomically
from training.config import Preset, TrainingConfig, parse_config, preset
from training.dataset import Dataset, load_dataset
from training.overlap import overlapping_wordings
from training.preparation import Rendered, checks_for, passages_for, preview
from training.runs import Run, RunOptions
from training.service import start_run
from ui.confirm import ask
from ui.guard import message, note
from ui.markup import piece
from ui.parts import adapter_label, one_file
from ui.promotion import PromotionPanel
from ui.services import Services
from ui.training_view import dataset_html, preview_html, run_html, runs_html

KIND = "train"
LOG_LINES = 200
FRESH = ("The base model", "")
FIELDS = [name for name in TrainingConfig.model_fields if name not in ("preset", "method")]
"""Hyper-parameters of the advanced part, in the order of their declaration."""


class TrainingPage:
    """Handlers of the page; each gets the admin's account first."""

    def __init__(self, services: Services, promotion: PromotionPanel) -> None:
        """Use runs and jobs of `services`, and the shelf below them."""
        self._promotion = promotion
        self._services = services
        self._shelf = services.shelf
        self._home = services.home
        self._runs = services.runs
        self._jobs = services.jobs
        self._audit = services.audit

    def load(self, account: Account) -> list[Any]:
        """Fill the page; an unfinished run is shown again after any reload."""
        newest = self._runs.list(1)
        shown = newest[0].id if newest else None
        return [
            *self.listing(account, shown),
            *self.watch(account, shown),
            *self._promotion.listing(account),
            self.bases(),
        ]

    def listing(self, account: Account, shown: Any) -> list[Any]:
        """Return the list of runs and the choice of one to watch."""
        found = self._runs.list()
        rows = [(run, self._job(run)) for run in found]
        choices = [(f"{run.name} (run {run.id})", run.id) for run in found]
        return [runs_html(rows), gr.update(choices=choices, value=shown)]

    def _job(self, run: Run) -> Job | None:
        if run.job_id is None:
            return None
        try:
            return self._jobs.get(run.job_id)
        except NotFound:
            return None

    def check(self, account: Account, file: Any, basis: Any, *values: Any) -> list[Any]:
        """Check an uploaded file and show its first examples as the model will see them."""
        path = self._kept(one_file(file, "a JSONL or CSV file of questions and answers"))
        config = config_of(*values)
        dataset = load_dataset(path, checks_for(self._home.settings, config))
        overlaps = overlapping_wordings(dataset, self._question_files())
        examples = preview_html(self._preview(dataset, config, basis or None))
        return [
            str(path), dataset_html(dataset, overlaps), examples,
            gr.update(visible=True), suggested_name(path),
        ]  # fmt: skip

    def _preview(
        self, dataset: Dataset, config: TrainingConfig, basis: str | None
    ) -> list[Rendered]:
        # It brings transformers with it, which the page itself does without.
        with self._home.loading.lock:
            from training.tokenizer import ChatTokenizer

            tokenizer = ChatTokenizer(locate_model(self._home.settings, self._home.workspace))
        adapter = self._services.shelf.get(basis) if basis else None
        library = passages_for(self._home, self._services.retrieval, config, tokenizer, adapter)
        return preview(dataset, config, tokenizer, library, 3, profile_of(self._home.settings))

    def _kept(self, path: Path) -> Path:
        """Keep an uploaded data file where a later start finds it."""
        target = self._home.workspace.uploads / "data" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        return target

    def _question_files(self) -> list[Path]:
        """Write the stored question sets as files: training must not see them."""
        folder = self._home.workspace.uploads / "held-out"
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for one in self._services.question_sets.list():
            path = folder / f"set-{one.id}-{one.version[:12]}.jsonl"
            lines = [json.dumps(q.as_json(), ensure_ascii=False) for q in one.questions]
            write_atomically(path, "\n".join(lines).encode() + b"\n")
            paths.append(path)
        return paths

    def use_preset(self, account: Account, name: str, method: str) -> list[Any]:
        """Put a preset's values into the advanced part."""
        values = preset(name, method=method).model_dump(mode="json")
        return [values[field] for field in FIELDS]

    def start(
        self, account: Account, data: str, name: str, agreed: list[str], basis: Any, *values: Any
    ) -> list[Any]:
        """Store the run, perhaps one that goes on from the adapter `basis`, and queue its job."""
        path = self._checked_data(data)
        name = (name or "").strip()
        options = RunOptions(
            skip_bad_rows="skip" in (agreed or []),
            allow_overlap="overlap" in (agreed or []),
            from_adapter=basis or None,
            question_sets=tuple(str(one) for one in self._question_files()),
        )
        run = start_run(self._home, name, config_of(*values), path, options, account.id)
        return self._queue(account, run, "training.start")

    def resume(self, account: Account, run_id: Any) -> list[Any]:
        """Go on with a stopped or failed run from its last checkpoint."""
        run = self._chosen_run(run_id)
        if run.finished_at is not None:
            raise Conflict(f"Run {run.id} '{run.name}' is finished. Start a new one.")
        self._runs.require_idle(run)
        return self._queue(account, run, "training.resume")

    def _queue(self, account: Account, run: Run, action: str) -> list[Any]:
        job = self._jobs.submit(
            KIND, {"run_id": run.id}, title=f"Training {run.name}", account_id=account.id
        )
        self._runs.set_job(run.id, job)
        self._audit.record(account.name, action, run.name, {"run": run.id, "job": job})
        return [*self.listing(account, run.id), *self.watch(account, run.id)]

    def _chosen_run(self, run_id: Any) -> Run:
        if not run_id:
            raise message("Choose a run first.", "Nothing chosen")
        return self._runs.get(whole(run_id, "run"))

    def ask_discard(self, account: Account, run_id: Any) -> list[Any]:
        """Ask before deleting a run."""
        run = self._chosen_run(run_id)
        left = "The adapter that it made stays on the shelf." if run.finished_at else (
            "It cannot be resumed then."
        )  # fmt: skip
        question = (
            f"Delete run {run.id} “{run.name}”, with its curve, its copy of the data and its "
            "checkpoints?"
        )
        return ask(run.id, question, loss=left)

    def discard(self, account: Account, run_id: int) -> list[Any]:
        """Delete a run; an adapter that it made stays."""
        run = self._runs.get(run_id)
        self._runs.delete(run.id)
        self._audit.record(account.name, "training.delete", run.name, {"run": run.id})
        note(f"Run {run.id} “{run.name}” is deleted.")
        newest = self._runs.list(1)
        shown = newest[0].id if newest else None
        return [*self.listing(account, shown), *self.watch(account, shown)]

    def _checked_data(self, data: str) -> Path:
        # The page holds the path only as a hint: nothing outside the uploads may be named.
        folder = (self._home.workspace.uploads / "data").resolve()
        path = Path(data or "missing").resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise InvalidInput("No checked data. Choose a file and press “Check the data” first.")
        return path

    def watch(self, account: Account, run_id: Any) -> list[Any]:
        """Show a run as the database knows it, and whether to look again."""
        if not run_id:
            hidden = gr.update(visible=False)
            return [piece("no_run.html"), hidden, hidden, hidden, gr.update(active=False)]
        run = self._runs.get(whole(run_id, "run"))
        job = self._job(run)
        log = self._jobs.log(job.id, LOG_LINES) if job else ""
        active = job is not None and job.active
        return [
            run_html(run, job, self._runs.points(run.id), log),
            gr.update(visible=active),
            gr.update(visible=run.finished_at is None and not active),
            gr.update(visible=not active),
            gr.update(active=active),
        ]

    def tick(self, account: Account, run_id: Any) -> list[Any]:
        """Look again; at the end of a run refresh the list and the shelf."""
        seen = self.watch(account, run_id)
        run = self._runs.get(whole(run_id, "run")) if run_id else None
        job = self._job(run) if run else None
        if job is not None and job.active:
            return [*seen, *(gr.update() for _ in range(7))]
        shelf = self._promotion.listing(account)
        return [*seen, *self.listing(account, run_id), *shelf, self.bases()]

    def stop(self, account: Account, run_id: Any) -> list[Any]:
        """Stop the run that is shown; its checkpoint stays."""
        run = self._runs.get(whole(run_id, "run")) if run_id else None
        if run is not None and run.job_id is not None:
            self._jobs.stop(run.job_id)
            self._audit.record(account.name, "job.stop", run.name, {"job": run.job_id})
        return self.watch(account, run_id)

    def bases(self) -> Any:
        """Return what a run may start from: the base model, or an adapter that can be used."""
        usable = [
            (adapter_label(one), one.name) for one in self._shelf.list() if one.problem is None
        ]
        return gr.update(choices=[FRESH, *usable])


def config_of(preset_name: str, method: str, *values: Any) -> TrainingConfig:
    """Return the checked hyper-parameters of the form.

    Raises:
        InvalidInput: names every impossible value.
    """
    chosen = Preset(preset_name).value if preset_name in list(Preset) else preset_name
    given = {field: value for field, value in zip(FIELDS, values, strict=True) if value is not None}
    return parse_config({"preset": chosen, "method": method, **given})


def suggested_name(path: Path) -> str:
    """Return an adapter name made from a file's name."""
    kept = "".join(c if c.isalnum() and c.isascii() else "-" for c in path.stem.lower())
    return kept.strip("-")[:40] or "adapter"
