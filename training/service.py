"""Starts, follows and deletes training runs, for pages, commands and jobs alike."""

import logging
import warnings
from pathlib import Path
from typing import Any

from assistant.manifest import Manifest, read_manifest
from assistant.profiles import fitted
from assistant.prompts import profile_of
from assistant.shelf import Shelf
from core.errors import NotFound
from core.home import Home
from core.progress import Progress
from retrieval.service import Retrieval, open_retrieval
from training.config import TrainingConfig
from training.dataset import Dataset, load_dataset
from training.installing import built_before, install
from training.preparation import (
    Rendered,
    check_agreed,
    checks_for,
    dataset_of,
    passages_for,
    preview,
)
from training.runs import Run, RunOptions, Runs


def check_data(home: Home, path: Path, config: TrainingConfig) -> Dataset:
    """Look at a data file for the page: facts, problems, summary. Loads no model.

    Raises:
        DatasetError: the file as a whole cannot be used.
    """
    return load_dataset(path, checks_for(home.settings, config))


def preview_data(
    home: Home,
    retrieval: Retrieval | None,
    dataset: Dataset,
    config: TrainingConfig,
    count: int = 5,
) -> list[Rendered]:
    """Return examples as the model will see them. Loads the tokenizer, not the weights.

    Raises:
        EngineError: the model of the settings is not there.
    """
    from assistant.engines.source import locate_model
    from training.tokenizer import ChatTokenizer

    tokenizer = ChatTokenizer(locate_model(home.settings, home.workspace))
    library = passages_for(home, retrieval, config, tokenizer)
    return preview(dataset, config, tokenizer, library, count, profile_of(home.settings))


def start_run(
    home: Home,
    name: str,
    config: TrainingConfig,
    dataset: Path,
    options: RunOptions,
    account_id: int | None = None,
) -> Run:
    """Check everything that can be checked now, and store the run.

    Raises:
        InvalidInput: a name or data that cannot be used.
        Conflict: an adapter of that name exists, or a run of that name is not finished.
        NotFound: the adapter to train on from.
    """
    shelf, runs = Shelf(home), Runs(home)
    runs.require_free(name)
    if options.from_adapter is not None:
        shelf.get(options.from_adapter)
    check_agreed(load_dataset(dataset, checks_for(home.settings, config)), options)
    return runs.get(runs.create(name, config, dataset, options, account_id))


def execute(home: Home, run_id: int, progress: Progress) -> dict[str, Any]:
    """Train a stored run to its end, from its last checkpoint if there is one.

    Returns:
        adapter, path, seconds, tokens_per_second, train_loss, validation_loss.

    Raises:
        Stopped: somebody asked; a checkpoint is kept.
        InhouseError: with the remedy.
    """
    run = Runs(home).get(run_id)
    if run.finished_at is not None:
        return result_of(home, read_manifest(Shelf(home).get(run.name).ref.path))
    manifest = built_before(home, run) or _trained(home, run, progress)
    return result_of(home, install(home, run, manifest, progress))


def _trained(home: Home, run: Run, progress: Progress) -> Manifest:
    dataset = dataset_of(home, run)
    # The prompts that are learned are those that this model is served with.
    home = fitted(home)
    retrieval = open_retrieval(home) if run.config.documents else None
    _quieten()
    # Here, not above: torch and TRL take seconds to import.
    from training.trainer import train

    return train(home, retrieval, run.id, run.config, dataset, progress)


def _quieten() -> None:
    """Keep the libraries' notes to developers off people's terminals."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"peft\.")
    for name in ("bitsandbytes", "transformers", "trl", "peft"):
        logging.getLogger(name).setLevel(logging.ERROR)


def result_of(home: Home, manifest: Manifest) -> dict[str, Any]:
    """What the command and the job report about a finished run."""
    names = ("seconds", "tokens_per_second", "train_loss", "validation_loss")
    return {
        "adapter": manifest.name,
        "path": str(home.workspace.adapters / manifest.name),
        **{name: manifest.metrics.get(name) for name in names},
    }


def delete_adapter(home: Home, name: str, heir: str | None = None) -> dict[str, Any]:
    """Delete an adapter and the runs that made it or were to make it.

    Args:
        home: the installation.
        name: of the adapter.
        heir: who becomes the default where it is, as for `Shelf.delete`.

    Raises:
        NotFound: neither an adapter nor a run has that name.
        Conflict: a job works on one of the runs, or on one that goes on from the adapter; or it is
            the default and no possible heir is named. Nothing is deleted.
    """
    shelf, runs = Shelf(home), Runs(home)
    named = [run for run in runs.list(limit=None) if run.name == name]
    for run in named:
        runs.require_idle(run)
    runs.require_unused(name)
    made = [run.id for run in named]
    on_shelf = name in {adapter.name for adapter in shelf.list()}
    if on_shelf:
        shelf.delete(name, heir)
    elif not made:
        raise NotFound(f"There is no adapter or run '{name}'. `list` shows them.")
    for run_id in made:
        runs.delete(run_id)
    return {"deleted": name, "adapter": on_shelf, "runs": made, "default": shelf.default()}
