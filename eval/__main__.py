"""`python -m eval`: evaluations, their comparison, the gate, the watch, the audit of models."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assistant.modes import AnswerMode
from assistant.profiles import fitted
from assistant.shelf import Shelf
from core.audit import OPERATOR_NAME, Audit
from core.cli import Call, CommandLine, Report
from core.errors import NotFound
from core.home import Home
from eval.allocation import keep_freed_memory
from eval.arms import MODES, Plan, parse_modes
from eval.check import CheckFailed, parse_floors, read_report, shortfalls
from eval.draft_command import add_draft
from eval.evaluations import Evaluation, Evaluations, QuestionSets
from eval.formatting import figure, headline
from eval.gate import MARGIN, Gate
from eval.recommend import label
from eval.report import contract_json
from eval.watch_commands import add_watch


def _run(call: Call) -> Report:
    given, home = call.arguments, call.home
    plan = _plan(home, given)
    sets = [
        QuestionSets(home).add(path, path.stem, training_files=given.training).id
        for path in given.questions
    ]
    evaluations = Evaluations(home)
    evaluation_id = None if given.fresh else evaluations.unfinished(sets, plan)
    if evaluation_id is None:
        evaluation_id = evaluations.create(sets, plan, title=given.title, fresh=given.fresh)
    keep_freed_memory()
    summary = evaluations.run(evaluation_id, call.progress)
    report = evaluations.report_path(evaluation_id)
    if given.report is not None:
        report = evaluations.write_report(evaluation_id, given.report)
    text = f"Evaluation {evaluation_id}\n{_table(summary)}\n\nReport: {report}"
    return Report(contract_json(str(report), summary), text)


def _plan(home: Home, given: argparse.Namespace) -> Plan:
    adapters = tuple(dict.fromkeys(given.adapter)) or _default_adapter(home, given.modes)
    names = [name.strip() for name in given.modes.split(",")] if given.modes else _usual(adapters)
    return Plan(
        modes=parse_modes(names),
        adapters=adapters,
        models=tuple(dict.fromkeys(given.model)),
        oracle=given.oracle,
        limit=given.limit,
        batch=given.batch,
        latency_sample=given.latency_sample,
        price_per_hour=_rate(given.price_per_hour, home.settings.price_per_hour),
        watts=_rate(given.watts, home.settings.watts),
        price_per_kwh=_rate(given.price_per_kwh, home.settings.price_per_kwh),
        judge=home.settings.judge if given.judge is None else given.judge,
    )


def _rate(given: float | None, setting: float) -> float:
    return setting if given is None else given


def _default_adapter(home: Home, modes: str | None) -> tuple[str, ...]:
    wanted = modes is None or AnswerMode.TUNED in modes
    default = Shelf(home).default() if wanted else None
    return (default,) if default else ()


def _usual(adapters: tuple[str, ...]) -> list[str]:
    return [mode.value for mode in MODES if adapters or not mode.uses_adapter]


def _table(summary: Mapping[str, Any]) -> str:
    lines = [headline(summary), ""]
    for arm, table in summary["modes"].items():
        accuracy, correct = (figure(table[key], "share") for key in ("accuracy", "correct"))
        lines.append(f"{label(arm):32} accuracy {accuracy:20} right or rightly refused {correct}")
    verdict = summary["recommendation"]
    return "\n".join([*lines, "", verdict["headline"], *(f"  {r}" for r in verdict["reasons"])])


def _list(call: Call) -> Report:
    found = Evaluations(call.home).list()
    data = [
        {
            "id": one.id,
            "title": one.title,
            "state": one.state,
            "questions": len(one.questions),
            "modes": [mode.value for mode in one.plan.modes],
            "adapters": list(one.plan.adapters),
            "created_at": one.created_at.isoformat(timespec="seconds"),
            "verdict": one.summary["recommendation"]["headline"] if one.summary else None,
        }
        for one in found
    ]
    text = "\n".join(_line(one) for one in found) or "No evaluations yet."
    return Report({"evaluations": data}, text)


def _line(one: Evaluation) -> str:
    verdict = one.summary["recommendation"]["headline"] if one.summary else one.error
    return f"{one.id:4}  {one.state:8} {one.title}: {len(one.questions)} questions. {verdict}"


def _sets(call: Call) -> Report:
    found = QuestionSets(call.home).list()
    data = [
        {"id": s.id, "name": s.name, "number": s.number, "version": s.version,
         "questions": s.counts, "warnings": list(s.warnings)} for s in found
    ]  # fmt: skip
    lines = [f"{s.id:4}  {s.name}, version {s.number} ({s.version[:12]}) {s.counts}" for s in found]
    return Report({"question_sets": data}, "\n".join(lines) or "No question sets yet.")


def _show(call: Call) -> Report:
    evaluations, number = Evaluations(call.home), call.arguments.id
    summary = evaluations.summary(number)
    report = evaluations.report_path(number)
    return Report(contract_json(str(report), summary), f"{_table(summary)}\n\nReport: {report}")


def _rescore(call: Call) -> Report:
    Evaluations(call.home).rescore(call.arguments.id)
    return _show(call)


def _delete(call: Call) -> Report:
    Evaluations(call.home).delete(call.arguments.id)
    return Report({"deleted": call.arguments.id}, f"Evaluation {call.arguments.id} is deleted.")


def _compare(call: Call) -> Report:
    found = Evaluations(call.home).compare(call.arguments.first, call.arguments.second)
    lines = [f"{found['questions']} questions in common; first minus second, handled rightly:"]
    for arm, tested in found["modes"].items():
        gap = tested["measures"]["correct"]
        lines.append(
            f"  {label(arm):32} {figure(gap['difference'], 'share'):22} p = {gap['p']:.2g}, "
            f"won {len(tested['wins'])}, lost {len(tested['losses'])}"
        )
    return Report(found, "\n".join(lines))


def _audit(call: Call) -> Report:
    # Opens engines: not needed by any other command.
    from eval.audit import Audits, table

    given, audits = call.arguments, Audits(call.home)
    sets = [QuestionSets(call.home).add(path, path.stem).id for path in given.questions]
    modes = parse_modes([name.strip() for name in given.modes.split(",")])
    plan = Plan(modes=modes, limit=given.limit, latency_sample=0)
    number = audits.create(given.models, sets, plan)
    found = audits.run(number, call.progress).results
    report = audits.report_path(number)
    if given.report is not None:
        report = audits.write_report(number, given.report)
    data = {"models": [one.as_json() for one in found], "report": str(report)}
    return Report(data, f"{table(found)}\n\nReport: {report}")


def _promote(call: Call) -> Report:
    given = call.arguments
    decision = Gate(fitted(call.home), margin=given.margin).promote(
        given.adapter, given.evaluation, general_id=given.general, override_reason=given.override
    )
    detail = {"outcome": decision.outcome, "reason": decision.reason}
    Audit(call.home.database).record(OPERATOR_NAME, "adapter.default", decision.adapter, detail)
    data = {
        "adapter": decision.adapter,
        "allowed": decision.allowed,
        "overridden": decision.overridden,
        "findings": list(decision.findings),
    }
    return Report(data, "\n".join([f"'{decision.adapter}' is promoted.", *decision.findings]))


def _demote(call: Call) -> Report:
    decision = Gate(call.home).clear(call.arguments.reason)
    detail = {"outcome": decision.outcome, "reason": decision.reason}
    Audit(call.home.database).record(OPERATOR_NAME, "adapter.default", "none", detail)
    return Report({"findings": list(decision.findings)}, "\n".join(decision.findings))


def _check(call: Call) -> Report:
    given, evaluations = call.arguments, Evaluations(call.home)
    number = given.id
    if number is None:
        number = next((one.id for one in evaluations.list() if one.summary), None)
    if number is None:
        raise NotFound("There is no finished evaluation to check. Run one first.")
    modes = evaluations.summary(number)["modes"]
    baseline = read_report(given.baseline)["modes"] if given.baseline else None
    failures = shortfalls(modes, parse_floors(given.min_accuracy), baseline, given.margin)
    if failures:
        raise CheckFailed("\n".join([f"Evaluation {number} fails the check:", *failures]))
    return Report({"evaluation": number, "passed": True}, f"Evaluation {number} passes.")


def _add_run(commands: CommandLine) -> None:
    run = commands.add("run", _run, "Answer a question set in every mode, score it, report it.")
    # fmt: off
    run.add_argument("--questions", nargs="+", type=Path, required=True, metavar="FILE",
                     help="question sets, JSONL or CSV")
    run.add_argument("--modes", help=f"some of {','.join(MODES)} (default: all that can run)")
    run.add_argument("--adapter", action="append", default=[], metavar="NAME",
                     help="adapter of the tuned modes, repeatable (default: employees')")
    run.add_argument("--model", action="append", default=[], metavar="MODEL",
                     help="engine as in INHOUSE_MODEL, repeatable (default: the setting)")
    run.add_argument("--report", type=Path, metavar="DIR", help="also write the report here")
    run.add_argument("--limit", type=int, metavar="N", help="evenly spaced N questions only")
    run.add_argument("--oracle", action="store_true",
                     help="also answer with the right passage given: the retriever's ceiling")
    run.add_argument("--training", nargs="*", type=Path, default=[], metavar="FILE",
                     help="training data that must not hold a question of the set")
    run.add_argument("--fresh", action="store_true", help="answer anew, reuse nothing")
    run.add_argument("--title", default="", help="name of the evaluation")
    run.add_argument("--batch", type=int, default=48, metavar="N", help="questions in a batch")
    run.add_argument("--latency-sample", type=int, default=5, metavar="N",
                     help="questions also asked one by one, to time them (default: 5)")
    run.add_argument("--price-per-hour", type=float, metavar="PRICE",
                     help="of the machine, for the cost of 1,000 questions (default: the setting)")
    run.add_argument("--watts", type=float, metavar="W",
                     help="power of the machine, to estimate energy (default: the setting)")
    run.add_argument("--price-per-kwh", type=float, metavar="PRICE",
                     help="of the energy, added to the cost (default: the setting)")
    run.add_argument("--judge", metavar="MODEL",
                     help="engine that also grades the answers, beside the verdict (default: off)")
    # fmt: on


def _add_check(commands: CommandLine) -> None:
    check = commands.add("check", _check, "Exit with 1 if a figure is too low.")
    # fmt: off
    check.add_argument("id", type=int, nargs="?", metavar="ID", help="default: the newest")
    check.add_argument("--min-accuracy", nargs="+", action="extend", default=[],
                       metavar="MODE=SHARE", help="least accuracy, e.g. rag=0.6")
    check.add_argument("--baseline", type=Path, metavar="FILE", help="an earlier report.json")
    check.add_argument("--margin", type=float, default=0.02, metavar="SHARE",
                       help="how far accuracy may fall behind the baseline (default: 0.02)")
    # fmt: on


def _add_promote(commands: CommandLine) -> None:
    parser = commands.add("promote", _promote, "Make an adapter the default if it is not worse.")
    # fmt: off
    parser.add_argument("adapter", metavar="ADAPTER")
    parser.add_argument("--evaluation", type=int, metavar="ID",
                        help="measured the adapter and the present default (default: the newest)")
    parser.add_argument("--general", type=int, metavar="ID",
                        help="measured base and tuned on general questions (default: the newest)")
    parser.add_argument("--margin", type=float, default=MARGIN, metavar="SHARE",
                        help=f"loss still called not worse (default: {MARGIN})")
    parser.add_argument("--override", default="", metavar="REASON",
                        help="promote all the same; the reason is kept")
    # fmt: on


def _add_demote(commands: CommandLine) -> None:
    parser = commands.add("demote", _demote, "Take the default away: no adapter is used.")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; it is kept")


def _add_audit(commands: CommandLine) -> None:
    parser = commands.add("audit", _audit, "Measure base models side by side.")
    # fmt: off
    parser.add_argument("models", nargs="+", metavar="MODEL", help="as in INHOUSE_MODEL")
    parser.add_argument("--questions", nargs="+", type=Path, default=[], metavar="FILE",
                        help="question sets, for quality")
    parser.add_argument("--modes", default="base", help="base, rag or both (default: base)")
    parser.add_argument("--limit", type=int, metavar="N", help="evenly spaced N questions only")
    parser.add_argument("--report", type=Path, metavar="DIR", help="also write the report here")
    # fmt: on


def commands() -> CommandLine:
    """Every subcommand with its arguments."""
    line = CommandLine("python -m eval", "Score the modes on held-out questions.")
    _add_run(line)
    line.add("list", _list, "List evaluations.")
    line.add("sets", _sets, "List question sets.")
    for name, handler, summary in (
        ("show", _show, "Print the figures of an evaluation."),
        ("rescore", _rescore, "Compute all measures anew from stored answers."),
        ("delete", _delete, "Delete an evaluation and its report."),
    ):
        line.add(name, handler, summary).add_argument("id", type=int, metavar="ID")
    compare = line.add("compare", _compare, "Compare two evaluations, question by question.")
    compare.add_argument("first", type=int, metavar="A")
    compare.add_argument("second", type=int, metavar="B")
    _add_check(line)
    _add_promote(line)
    _add_demote(line)
    _add_audit(line)
    add_draft(line)
    add_watch(line)
    return line


if __name__ == "__main__":
    raise SystemExit(commands().run())
