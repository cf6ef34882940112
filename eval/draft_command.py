"""`python -m eval draft`: questions proposed from documents."""

from assistant.service import open_model
from core.cli import Call, CommandLine, Report
from eval.candidates import Candidates, Source
from eval.drafts import DraftPlan, Drafts


def add_draft(commands: CommandLine) -> None:
    """Add the subcommand."""
    draft = commands.add("draft", _draft, "Propose questions from documents, for review.")
    # fmt: off
    draft.add_argument("--documents", nargs="+", default=[], metavar="NAME",
                       help="paths, ends of paths, folders or ids (default: all documents)")
    draft.add_argument("--count", type=int, default=30, metavar="N",
                       help="questions wanted (default: 30)")
    draft.add_argument("--rules-only", action="store_true",
                       help="ask no language model where no rule fits")
    # fmt: on


def _draft(call: Call) -> Report:
    given, home = call.arguments, call.home
    drafts = Drafts(home, (lambda _home: None) if given.rules_only else open_model)
    candidates = Candidates(home)
    before = {one.id for one in candidates.waiting(Source.DOCUMENTS)}
    found = drafts.run(DraftPlan(drafts.named(given.documents), given.count), call.progress)
    new = [one for one in candidates.waiting(Source.DOCUMENTS) if one.id not in before]
    rows = [{"id": one.id, "made_by": one.about["made_by"], **one.row} for one in new]
    lines = [f"{one['question']}\n    {one['answer']} ({one['evidence_file']})" for one in rows]
    said = (
        f"{found['survived']} of {found['tried']} sentences gave a question. Review them on the "
        "page Question sets."
    )
    dropped = [f"  dropped, {reason}: {count}" for reason, count in found["dropped"].items()]
    return Report({**found, "candidates": rows}, "\n".join([*lines, "", said, *dropped]))
