"""`python -m training`: run, list, delete."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.manifest import AdapterInfo
from assistant.shelf import NO_ADAPTER, Shelf
from core.audit import OPERATOR_NAME, Audit
from core.cli import Call, CommandLine, Report
from core.errors import InvalidInput, NotFound
from training.config import Preset, TrainingConfig, parse_assignments, preset
from training.grounding_commands import add_evidence_commands
from training.runs import Run, RunOptions, Runs
from training.service import delete_adapter, execute, start_run

_OWN_FLAGS = frozenset({"preset", "method"})


def _run(call: Call) -> Report:
    run = _resumed(call) if call.arguments.resume else _new(call)
    result = execute(call.home, run.id, call.progress)
    losses = f"training loss {result['train_loss']}, validation loss {result['validation_loss']}"
    return Report(
        result,
        f"Adapter '{result['adapter']}' is ready after {result['seconds']:,.0f} s "
        f"({result['tokens_per_second']} tokens/s, {losses}).\n{result['path']}",
    )


def _new(call: Call) -> Run:
    given = call.arguments
    if given.dataset is None:
        raise InvalidInput("Name the training data with --dataset FILE (or --resume a run).")
    options = RunOptions(
        skip_bad_rows=given.skip_bad_rows,
        allow_overlap=given.allow_overlap,
        from_adapter=given.from_adapter,
        question_sets=tuple(str(path.resolve()) for path in given.question_sets),
    )
    return start_run(call.home, given.name, _config(given), given.dataset, options)


def _resumed(call: Call) -> Run:
    run = Runs(call.home).unfinished(call.arguments.name)
    call.progress.log(f"Going on with run {run.id}, with its own data and settings.")
    return run


def _config(given: argparse.Namespace) -> TrainingConfig:
    fields = [name for name in TrainingConfig.model_fields if name not in _OWN_FLAGS]
    flags = {name: getattr(given, name) for name in fields if getattr(given, name) is not None}
    changes: dict[str, Any] = {**flags, **parse_assignments(given.set)}
    if given.method is not None:
        changes["method"] = given.method
    return preset(given.preset, **changes)


def _list(call: Call) -> Report:
    shelf = Shelf(call.home)
    adapters = [_adapter_json(adapter, shelf.default()) for adapter in shelf.list()]
    unfinished = [
        {
            "run": run.id,
            "name": run.name,
            "dataset": run.dataset_name,
            "created_at": run.created_at.isoformat(timespec="seconds"),
            "steps": max((point.step for point in Runs(call.home).points(run.id)), default=0),
        }
        for run in Runs(call.home).list()
        if run.finished_at is None
    ]
    lines = [
        f"{a['name']}  {a['method']}  {a['created_at']}  {a['size'] / 1e6:.1f} MB"
        f"{'  built in' if a['built_in'] else ''}{'  (default)' if a['default'] else ''}"
        f"{'  ' + a['problem'] if a['problem'] else ''}"
        for a in adapters
    ]
    lines += [f"{r['name']}  unfinished after {r['steps']} steps: --resume" for r in unfinished]
    return Report(
        {"adapters": adapters, "unfinished": unfinished}, "\n".join(lines) or "No adapters yet."
    )


def _adapter_json(adapter: AdapterInfo, default: str | None) -> dict[str, Any]:
    manifest = adapter.manifest
    return {
        "name": adapter.name,
        "base_model": manifest.base_model if manifest else None,
        "created_at": manifest.created_at if manifest else None,
        "method": manifest.method if manifest else None,
        "size": adapter.size_bytes,
        "metrics": manifest.metrics if manifest else {},
        "default": adapter.name == default,
        "built_in": adapter.built_in,
        "problem": adapter.problem,
    }


def _delete(call: Call) -> Report:
    given = call.arguments
    try:
        done = delete_adapter(call.home, given.name, given.replace_with)
    except NotFound:
        Shelf(call.home).get(given.name)
        raise
    detail = {"runs": done["runs"], "default": done["default"]}
    Audit(call.home.database).record(OPERATOR_NAME, "adapter.delete", given.name, detail)
    default = f" The default is {done['default'] or 'none'}." if given.replace_with else ""
    return Report(done, f"Deleted '{done['deleted']}'.{default}")


def _add_run(line: CommandLine) -> None:
    run = line.add("run", _run, "train an adapter on questions and answers")
    run.add_argument("--dataset", type=Path, metavar="FILE", help="JSONL or CSV")
    run.add_argument("--name", required=True, help="what the adapter will be called")
    run.add_argument("--method", choices=["lora", "qlora"], help="default: lora")
    run.add_argument("--preset", choices=list(Preset), default=Preset.BALANCED.value)
    run.add_argument("--from-adapter", metavar="NAME", help="train on from this adapter")
    run.add_argument("--resume", action="store_true", help="go on with the unfinished run NAME")
    run.add_argument("--skip-bad-rows", action="store_true", help="leave rows with errors out")
    run.add_argument(
        "--question-sets", nargs="+", type=Path, default=[], metavar="FILE",
        help="held-out questions; training data that holds one of them is refused",
    )  # fmt: skip
    run.add_argument("--allow-overlap", action="store_true", help="train on them all the same")
    run.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="any hyper-parameter"
    )
    group = run.add_argument_group("hyper-parameters (default: as the preset says)")
    for name, field in TrainingConfig.model_fields.items():
        if name not in _OWN_FLAGS:
            description = (field.description or "").replace("%", "%%")
            group.add_argument(f"--{name.replace('_', '-')}", metavar="X", help=description)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    line = CommandLine("python -m training", "Train adapters on questions and answers.")
    _add_run(line)
    line.add("list", _list, "list adapters and unfinished runs")
    delete = line.add("delete", _delete, "delete an adapter and its runs")
    delete.add_argument("name", metavar="NAME")
    delete.add_argument(
        "--replace-with", metavar="NAME",
        help="what employees get instead, where NAME is the default: an adapter that was promoted "
        f"before, or '{NO_ADAPTER}'",
    )  # fmt: skip
    add_evidence_commands(line)
    return line.run(argv)


if __name__ == "__main__":
    raise SystemExit(main())
