"""`python -m eval watch`: the look of the app's watcher, for cron."""

from typing import Any

from core.cli import Call, CommandLine, Report
from core.jobs import Jobs
from eval.watch import Watch
from eval.watch_alarms import Alarm

ALARM_EXIT = 1


def add_watch(commands: CommandLine) -> None:
    """Add the command."""
    parser = commands.add("watch", _watch, "Evaluate again if documents or adapters changed.")
    # fmt: off
    parser.add_argument("--once", action="store_true", required=True,
                        help="look once and exit, with 1 if an alarm is open")
    parser.add_argument("--run", action="store_true",
                        help="answer here and now; without it, a job of the running app does")
    # fmt: on


def _watch(call: Call) -> Report:
    # Opens the documents: not needed by any other command.
    from assistant.profiles import fitted
    from retrieval.service import open_retrieval

    home = fitted(call.home)
    retriever = open_retrieval(home).retriever
    watch = Watch(home, Jobs(home, {"evaluate": "eval.jobs"}), lambda: retriever.version)
    looked = watch.look(call.progress if call.arguments.run else None)
    alarms = watch.alarms.list(open_only=True)
    data = {
        "outlook": looked.outlook.kind,
        "reason": looked.outlook.sentence,
        "evaluation": looked.evaluation_id,
        "new_alarms": list(looked.alarms),
        "open_alarms": [_as_json(one) for one in alarms],
    }
    did = "ran" if call.arguments.run else "queued"
    lines = [looked.outlook.sentence]
    if looked.evaluation_id is not None:
        lines.append(f"Evaluation {looked.evaluation_id} is {did}.")
    lines += [f"ALARM {one.id}: {one.finding} {'; '.join(one.changes)}" for one in alarms]
    return Report(data, "\n".join(lines), ALARM_EXIT if alarms else 0)


def _as_json(alarm: Alarm) -> dict[str, Any]:
    return {
        "id": alarm.id,
        "evaluation": alarm.evaluation_id,
        "before": alarm.before_id,
        "mode": alarm.mode,
        "finding": alarm.finding,
        "detail": alarm.detail,
        "changes": list(alarm.changes),
    }
