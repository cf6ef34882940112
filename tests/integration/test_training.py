"""Real training runs on a tiny model: they learn, stop, resume, survive kill -9, and serve."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from assistant.engines.base import Sampling
from assistant.engines.source import embedded_hash, locate_model
from assistant.engines.transformers_loading import load
from assistant.manifest import MANIFEST, read_manifest
from assistant.modes import Message
from assistant.prompts import QUOTING_VERSION, REFUSAL, render
from assistant.reader import builtin_reader
from assistant.service import open_model
from assistant.shelf import Shelf
from core.errors import Conflict, DatasetError, NotFound, Stopped, WorkspaceError
from core.home import Home, open_home
from core.job_store import JobStore
from retrieval.service import Retrieval, open_retrieval
from tests.fakes import HashingEmbedder
from tests.integration.doors import COLOURS, Watcher, data, model_folder, rows, small
from tests.waiting import PATIENCE_S
from training.__main__ import main
from training.examples import Example, ExampleKind
from training.jobs import handle
from training.prefix_tree import Tokens
from training.preparation import passages_for, preview, restricted_warnings
from training.runs import RunOptions, Runs
from training.schedule import Plan
from training.service import check_data, delete_adapter, execute, preview_data, start_run
from training.tokenizer import ChatTokenizer
from training.trainer import _trainer, tensors

__all__ = ["data", "model_folder"]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("INHOUSE_MODEL", str(model_folder))
    monkeypatch.setenv("INHOUSE_WORKSPACE", str(tmp_path / "workspace"))
    opened = open_home()
    yield opened
    opened.database.close()


def test_a_run_learns_and_its_adapter_serves(here: Home, data: Path) -> None:
    run = start_run(here, "doors", small(epochs=12), data, RunOptions())
    watcher = Watcher()
    result = execute(here, run.id, watcher)
    assert set(result) == {
        "adapter", "path", "seconds", "tokens_per_second", "train_loss", "validation_loss",
    }  # fmt: skip
    assert watcher.done == watcher.total > 0
    points = Runs(here).points(run.id)
    losses = [point.train_loss for point in points if point.train_loss is not None]
    checked = [point.validation_loss for point in points if point.validation_loss is not None]
    assert losses[-1] < losses[0] / 1.5
    assert checked[-1] < checked[0]
    assert points[0].step == 0
    assert points[-1].epoch == pytest.approx(12)
    assert points[-1].tokens_per_second > 0

    folder = Path(result["path"])
    assert {path.name for path in folder.iterdir()} >= {
        "adapter_config.json", "adapter_model.safetensors", "manifest.json",
    }  # fmt: skip
    assert json.loads((folder / "adapter_config.json").read_text())[
        "base_model_name_or_path"
    ] == "tiny-llama"  # fmt: skip
    adapter = Shelf(here).get("doors")
    assert adapter.problem is None
    assert adapter.manifest is not None
    assert adapter.manifest.metrics["steps"] == watcher.total
    assert adapter.manifest.data_sha256 == run.dataset_sha256
    model = open_model(here)
    prompt = render("What colour is door 3?", None)
    sampling = Sampling(max_tokens=24)
    plain = "".join(model.stream(prompt, adapter=None, sampling=sampling))
    tuned = "".join(model.stream(prompt, adapter=adapter.ref, sampling=sampling))
    assert tuned != plain
    assert tuned.startswith("Door")
    assert execute(here, run.id, Watcher()) == result
    assert not list((here.workspace.runs / str(run.id)).glob("checkpoints"))


def test_stop_and_resume_make_the_same_steps(here: Home, data: Path) -> None:
    through = start_run(here, "through", small(), data, RunOptions())
    whole = Watcher()
    execute(here, through.id, whole)
    run = start_run(here, "halves", small(), data, RunOptions())
    with pytest.raises(Stopped, match=rf"after step 6 of {whole.total:.0f}"):
        execute(here, run.id, Watcher(stop_at=6))
    assert "halves" not in {adapter.name for adapter in Shelf(here).list()}
    second = Watcher()
    execute(here, run.id, second)
    assert any("Resumed after step 6" in line for line in second.lines)
    assert second.total == whole.total
    left, right = (Runs(here).points(run_id)[-1] for run_id in (through.id, run.id))
    assert right.step == left.step
    assert right.validation_loss == pytest.approx(left.validation_loss, rel=0.05)
    assert sum(line.startswith("Examples over all epochs") for line in second.lines) == 0
    assert right.learning_rate == pytest.approx(left.learning_rate)


def test_kill_nine_is_survived(here: Home, data: Path) -> None:
    run = start_run(here, "killed", small(epochs=20, checkpoint_every=5), data, RunOptions())
    code = (
        "from core.home import open_home; from core.progress import Silent\n"
        "from training.service import execute\n"
        f"execute(open_home(), {run.id}, Silent())\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ))
    folder = here.workspace.runs / str(run.id) / "checkpoints"
    deadline = time.monotonic() + PATIENCE_S
    while not list(folder.glob("checkpoint-*/seal.json")) and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    watcher = Watcher()
    execute(here, run.id, watcher)
    assert any(line.startswith("Resumed after step") for line in watcher.lines)
    steps = [point.step for point in Runs(here).points(run.id)]
    assert steps == sorted(set(steps))
    assert steps[-1] == watcher.total


def test_training_goes_on_from_an_adapter(here: Home, data: Path) -> None:
    first = start_run(here, "first", small(epochs=10), data, RunOptions())
    execute(here, first.id, Watcher())
    second = start_run(here, "second", small(), data, RunOptions(from_adapter="first"))
    execute(here, second.id, Watcher())
    starts = [Runs(here).points(run.id)[0].validation_loss for run in (first, second)]
    assert starts[0] is not None
    assert starts[1] is not None
    assert starts[1] < starts[0] / 1.5


def test_who_goes_on_keeps_the_prompt_and_the_rank_of_where_it_started(
    here: Home, data: Path
) -> None:
    first = start_run(here, "first", small(), data, RunOptions())
    execute(here, first.id, Watcher())
    start = Shelf(here).get("first").ref
    manifest = replace(read_manifest(start.path), prompt_version=QUOTING_VERSION)
    (start.path / MANIFEST).write_text(manifest.to_json(), "utf-8")
    second = start_run(here, "second", small(rank=2), data, RunOptions(from_adapter="first"))
    execute(here, second.id, Watcher())
    made = Shelf(here).get("second")
    assert made.reads_quotations
    assert made.manifest is not None
    assert made.manifest.config["rank"] == 8
    assert made.manifest.config["started_from"] == start.hash


@pytest.mark.filterwarnings("error:.*autograd kernel was not registered")
def test_a_base_in_four_bits_is_trained_too(here: Home, data: Path) -> None:
    run = start_run(here, "four-bits", small(method="qlora", epochs=2), data, RunOptions())
    result = execute(here, run.id, Watcher())
    checked = [point.validation_loss for point in Runs(here).points(run.id)]
    assert checked[0] is not None
    assert result["validation_loss"] < checked[0]
    assert read_manifest(Path(result["path"])).method == "qlora"


def test_what_is_refused_before_training(here: Home, data: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        start_run(here, "x", small(), data, RunOptions(from_adapter="nowhere"))
    with pytest.raises(DatasetError, match="held-out question"):
        start_run(here, "x", small(), data, RunOptions(question_sets=(str(data),)))
    one = tmp_path / "one.jsonl"
    one.write_text(json.dumps(rows()[0]), "utf-8")
    with pytest.raises(DatasetError, match="1 usable fact"):
        start_run(here, "x", small(), one, RunOptions())
    assert Runs(here).list() == []


def test_preview_shows_what_is_read_and_what_is_learned(here: Home, data: Path) -> None:
    dataset = check_data(here, data, small())
    shown = preview_data(here, None, dataset, small(), count=6)
    assert len(shown) == 6
    assert len({example.kind for example in shown}) == 2
    for example in shown:
        assert example.prompt.startswith("<|im_start|>system\n")
        assert example.prompt.endswith("<|im_start|>assistant\n")
        assert example.answer.endswith("<|im_end|>")


def with_documents(home: Home, folder: Path, groups: frozenset[str] = frozenset()) -> Retrieval:
    folder.mkdir()
    for number, colour in enumerate(COLOURS):
        text = f"# Door {number}\n\nThe paint of door {number} is {colour} since spring.\n"
        (folder / f"door-{number}.md").write_text(text, "utf-8")
    retrieval = open_retrieval(home, HashingEmbedder())
    retrieval.ingestor.ingest([folder], groups=groups, progress=Watcher())
    return retrieval


def test_documents_are_shown_around_the_answer(here: Home, data: Path, tmp_path: Path) -> None:
    # The finder that reads words, not the network: what it finds is shown in the same way.
    settings = here.settings.model_copy(update={"evidence_finder": "words"})
    home = replace(here, settings=settings)
    retrieval = with_documents(home, tmp_path / "doors")
    config = small(documents=True, passage_rounds=4, absent_share=0.3)
    shown = preview_data(home, retrieval, check_data(home, data, config), config, count=40)
    answers = [example.answer for example in shown if "[1] Door" in example.prompt]
    assert any("]<|im_end|>" in answer for answer in answers)
    assert f"{REFUSAL}<|im_end|>" in answers


def test_a_reader_of_quotations_is_shown_the_best_sentences(
    here: Home, data: Path, tmp_path: Path
) -> None:
    retrieval = with_documents(here, tmp_path / "doors")
    config = small(documents=True)
    tokenizer = ChatTokenizer(locate_model(here.settings, here.workspace))
    reader = builtin_reader(embedded_hash())
    library = passages_for(here, retrieval, config, tokenizer, reader)
    assert library is not None
    shown = preview(check_data(here, data, config), config, tokenizer, library, 40)
    grounded = [example for example in shown if "[1] Door" in example.prompt]
    assert grounded
    assert all("Best sentences: " in example.prompt for example in grounded)
    without = passages_for(here, retrieval, config, tokenizer)
    assert without is not None
    assert without.quoter is None


def test_restricted_documents_are_told_and_not_shown(
    here: Home, data: Path, tmp_path: Path
) -> None:
    retrieval = with_documents(here, tmp_path / "doors", frozenset({"painters"}))
    data.write_text(
        "\n".join(json.dumps({**row, "evidence_file": "door-1.md"}) for row in rows()), "utf-8"
    )
    config = small(documents=True)
    dataset = check_data(here, data, config)
    warnings = restricted_warnings(dataset, retrieval)
    assert len(warnings) == len(COLOURS)
    assert "painters only" in warnings[0]
    shown = preview_data(here, retrieval, dataset, config, count=40)
    assert not any("The paint of" in example.prompt for example in shown)


def test_a_full_disk_is_told_and_the_job_goes_on_later(here: Home, data: Path) -> None:
    class Full(Watcher):
        def update(self, done: float, total: float, *rest: Any, **named: Any) -> None:
            if done == 6:
                raise OSError(errno.ENOSPC, "No space left on device")

    run = start_run(here, "full", small(), data, RunOptions())
    with pytest.raises(WorkspaceError, match="is full"):
        execute(here, run.id, Full())
    watcher = Watcher()
    assert handle(here, {"run_id": run.id}, watcher)["adapter"] == "full"
    assert any("Resumed after step 4" in line for line in watcher.lines)


def test_a_run_that_is_being_trained_is_not_deleted(here: Home, data: Path) -> None:
    run = start_run(here, "busy", small(), data, RunOptions())
    store = JobStore(here.database)
    job = store.add("train", {"run_id": run.id}, "Training busy", None)
    Runs(here).set_job(run.id, job)
    for delete in (lambda: Runs(here).delete(run.id), lambda: delete_adapter(here, "busy")):
        with pytest.raises(Conflict, match="is being trained"):
            delete()
    assert Runs(here).dataset_path(run.id).exists()
    store.ask_stop(job)
    assert delete_adapter(here, "busy")["runs"] == [run.id]
    assert not Runs(here).folder(run.id).exists()


def test_command(here: Home, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--dataset", str(data), "--name", "cli", "--preset", "quick", "--json"]
    assert main(["run", *flags, "--epochs", "2", "--set", "rank=4", "--documents", "no"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["adapter"] == "cli"
    assert read_manifest(Path(result["path"])).config["rank"] == 4
    assert main(["run", *flags]) == Conflict.exit_code
    assert "There is an adapter 'cli' already" in capsys.readouterr().err
    assert main(["list", "--json"]) == 0
    assert [a["name"] for a in json.loads(capsys.readouterr().out)["adapters"]] == ["cli"]
    assert main(["delete", "cli", "--json"]) == 0
    capsys.readouterr()
    assert main(["delete", "cli"]) == NotFound.exit_code
    assert main(["run", "--resume", "--name", "cli"]) == NotFound.exit_code
    assert main(["run", "--name", "x"]) == 2
    assert Shelf(here).list() == []
    with pytest.raises(NotFound):
        delete_adapter(here, "cli")


def test_a_tree_gives_the_loss_and_gradient_of_a_padded_batch(model_folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(str(model_folder), dtype=torch.float32)
    examples = (
        Tokens((5, 6, 7, 8, 9), 3), Tokens((5, 6, 7, 8, 4, 3), 4), Tokens((5, 9, 2), 1),
    )  # fmt: skip
    tree = tensors(examples)
    logits = model(
        input_ids=tree["ids"], position_ids=tree["positions"], attention_mask=tree["visible"]
    ).logits[0]
    merged = cross_entropy(logits[tree["sources"]], tree["targets"], reduction="sum")
    merged.backward()  # type: ignore[no-untyped-call]
    weight = model.model.layers[0].mlp.up_proj.weight
    gradient = weight.grad.clone()
    weight.grad = None
    apart = torch.zeros(())
    for example in examples:
        ids = torch.tensor([example.ids])
        start = example.answer_start
        logits = model(input_ids=ids).logits[0, start - 1 : -1]
        apart = apart + cross_entropy(logits, ids[0, start:], reduction="sum")
    apart.backward()  # type: ignore[no-untyped-call]
    assert merged.item() == pytest.approx(apart.item(), rel=1e-4)
    assert torch.allclose(gradient, weight.grad, atol=1e-4)


def test_the_model_as_it_is_trained_sees_no_answer_ahead(here: Home, tmp_path: Path) -> None:
    """An attention that takes a mask of truths for numbers would see everything, and learn that."""
    example = Tokens((5, 6, 7, 8, 9, 4), 3)
    plan = Plan((((example,),),), 1.0, (), (), 0)
    loaded = load(locate_model(here.settings, here.workspace), here.settings, training=True)
    trainer = _trainer(loaded, small(), plan, tmp_path, None)
    with torch.no_grad():
        merged = trainer.tree_loss(trainer.model, tensors((example,)))
        ids = torch.tensor([example.ids])
        logits = trainer.model(input_ids=ids).logits[0, example.answer_start - 1 : -1]
        apart = cross_entropy(logits.float(), ids[0, example.answer_start :], reduction="sum")
    assert merged.item() == pytest.approx(apart.item(), rel=1e-2)


def test_a_control_token_in_an_answer_is_learned_as_letters(here: Home) -> None:
    tokenizer = ChatTokenizer(locate_model(here.settings, here.workspace))
    ends = tokenizer.answer_text("").strip()
    spelled = f"A turn ends with {ends} and goes on."
    question = (Message("user", f"What is {ends}?"),)
    tokens = tokenizer.encode(Example(ExampleKind.CLOSED, "f", question, spelled))
    end = tokenizer.encode(Example(ExampleKind.CLOSED, "f", question, "")).ids[-1]
    assert list(tokens.answer).count(end) == 1, "its own end alone"
    assert tokenizer.prompt_text(question).count(ends) == tokenizer.prompt_text(
        (Message("user", "What is it?"),)
    ).count(ends)
