"""The gate: an adapter becomes the employees' default only if it is not worse.

It must be not worse than the present default on the firm's questions, and not worse than the base
model on general ones. Not worse means: the whole 95% interval of the difference lies above minus
the margin (a non-inferiority test at 2.5% a side). Too few questions therefore close the gate: what
cannot be told is not let through. An admin may override; the reason is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from assistant.modes import AnswerMode
from assistant.shelf import Shelf
from core.database import now
from core.errors import Conflict, InvalidInput
from core.home import Home
from core.jobs import Jobs
from eval.evaluations import Evaluations
from eval.gate_evidence import Column, Evidence, Missing, is_general
from eval.noninferiority import least_questions, lower_bound, upper_bound
from eval.recommend import ENOUGH
from eval.records import EvaluatedRow
from eval.summary import compare
from eval.tables import GateRow

MARGIN = 0.03
GENERAL_MARGIN = 0.05
"""Wider: a general set guards against harm, and 120 questions can hold it; 3 points take 125."""
MODE = AnswerMode.TUNED_RAG
"""The mode that a default adapter serves beside documents."""


@dataclass(frozen=True)
class Check:
    """One of the two comparisons, for a candidate."""

    about: str
    """'current' (the firm's questions) or 'general'."""
    passed: bool
    finding: str
    """One sentence for people."""
    evaluation_id: int | None
    """Which evaluation carried it; None: there is none."""
    missing: Missing | None = None
    """The evaluation that would tell, where one would."""


@dataclass(frozen=True)
class Judgement:
    """What the gate says of a candidate, and what was compared."""

    adapter: str
    checks: tuple[Check, ...]

    @property
    def allowed(self) -> bool:
        """Tell whether every comparison passed."""
        return all(check.passed for check in self.checks)

    @property
    def findings(self) -> tuple[str, ...]:
        """One sentence a comparison."""
        return tuple(check.finding for check in self.checks)

    @property
    def missing(self) -> tuple[Missing, ...]:
        """The evaluations that are missing and can be run now."""
        return tuple(check.missing for check in self.checks if check.missing)


@dataclass(frozen=True)
class GateDecision:
    """What the gate found, and what became of it."""

    adapter: str
    """'' where the default was taken away."""
    allowed: bool
    overridden: bool
    findings: tuple[str, ...]
    """One sentence a comparison."""
    reason: str
    account_id: int | None
    created_at: datetime

    @property
    def outcome(self) -> str:
        """'promoted', 'overridden', 'refused' or 'cleared'."""
        if not self.adapter:
            return "cleared"
        if self.allowed:
            return "promoted"
        return "overridden" if self.overridden else "refused"


class Gate:
    """Promotes adapters that pass, and keeps every decision."""

    def __init__(self, home: Home, *, margin: float = MARGIN) -> None:
        """`margin` is the loss on the firm's questions, 0 to 1, that is still called not worse."""
        self._home = home
        self._margin = margin
        self._evaluations = Evaluations(home)
        self._evidence = Evidence(home)
        self._shelf = Shelf(home)

    def judge(
        self, adapter: str, evaluation_id: int | None = None, general_id: int | None = None
    ) -> Judgement:
        """Tell whether `adapter` may become the default, and why.

        Args:
            adapter: the candidate.
            evaluation_id: a finished evaluation of the candidate, and of the present default if
                there is one, on the firm's questions; None: the newest that measured both with
                their present weights. Without a default the candidate is held against the same
                answers without adapter.
            general_id: a finished evaluation of `base` and `tuned` on general questions; None: the
                newest on questions tagged 'general'.

        Raises:
            InvalidInput: a named evaluation lacks what is needed.
            NotFound: no such adapter or evaluation.
        """
        self._shelf.get(adapter)
        current = self._shelf.default()
        rival = current if current != adapter else None
        mine = Column(MODE, adapter)
        other = Column(MODE, rival) if rival else Column(AnswerMode.RAG, None)
        name = f"the present default '{rival}'" if rival else "documents without an adapter"
        checks = (
            self._check("current", (mine, other), evaluation_id, name),
            self._check(
                "general",
                (Column(AnswerMode.TUNED, adapter), Column(AnswerMode.BASE, None)),
                general_id,
                "the base model on general questions",
            ),
        )
        return Judgement(adapter, checks)

    def promote(
        self,
        adapter: str,
        evaluation_id: int | None = None,
        *,
        general_id: int | None = None,
        account_id: int | None = None,
        override_reason: str = "",
    ) -> GateDecision:
        """Make `adapter` the default if it passes, or if an admin gives a reason to override.

        Raises:
            Conflict: it does not pass and no reason is given; nothing is changed.
            AdapterError: it is damaged.
            InvalidInput, NotFound: as `judge`.
        """
        judgement = self.judge(adapter, evaluation_id, general_id)
        allowed, findings = judgement.allowed, judgement.findings
        reason = override_reason.strip()
        overridden = bool(reason) and not allowed
        decision = GateDecision(
            adapter, allowed, overridden, findings, reason, account_id, now()
        )  # fmt: skip
        if not allowed and not reason:
            with self._home.database.session() as session:
                session.add(_row(decision))
            raise Conflict(
                f"The adapter '{adapter}' is not promoted: {' '.join(findings)} "
                "Run what is missing or train it again, or override with a reason."
            )
        carried = ", ".join(str(check.evaluation_id) for check in judgement.checks)
        why = reason or f"passed the gate with evaluations {carried}"
        self._shelf.set_default(adapter, account_id, why, [_row(decision)])
        return decision

    def clear(self, reason: str, account_id: int | None = None) -> GateDecision:
        """Take the default away: employees get answers without an adapter from now on.

        Nothing has to be measured for that: it is the way back when an adapter does harm.

        Raises:
            InvalidInput: no reason is given.
            Conflict: there is no default.
        """
        current = self._shelf.default()
        if current is None:
            raise Conflict("No adapter is the default. There is nothing to take away.")
        if not reason.strip():
            raise InvalidInput(
                f"No reason is given for taking '{current}' away. Write one; it is kept."
            )
        finding = f"'{current}' is no longer the default; no adapter is."
        decision = GateDecision("", True, False, (finding,), reason.strip(), account_id, now())
        self._shelf.set_default(None, account_id, reason.strip(), [_row(decision)])
        return decision

    def delete(self, adapter: str, heir: str | None = None, account_id: int | None = None) -> None:
        """Delete an adapter; where it is the default, keep who replaces it as a decision.

        Args:
            adapter: which.
            heir: an adapter that employees may use already, or `NO_ADAPTER`.
            account_id: who asked.

        Raises:
            Conflict: it is the default, and `heir` is no possible one; or it cannot be deleted.
            NotFound: no such adapter.
        """
        if self._shelf.default() != adapter:
            self._shelf.delete(adapter)
            return
        chosen = self._shelf.require_heir(adapter, heir)
        finding = f"'{adapter}', the default, was deleted; " + (
            f"'{chosen}' replaces it, which was let through before." if chosen else "no adapter is."
        )
        decision = GateDecision(chosen or "", True, False, (finding,), "", account_id, now())
        self._shelf.delete(adapter, heir, account_id, [_row(decision)])

    def queue_missing(self, adapter: str, jobs: Jobs, account_id: int | None = None) -> list[int]:
        """Queue exactly the evaluations that `judge` misses, each once; return their ids.

        Raises:
            Conflict: none is missing, or there are no questions to ask.
            NotFound: no such adapter.
        """
        missing = self.judge(adapter).missing
        if not missing:
            raise Conflict(
                f"No evaluation that could be run is missing for '{adapter}'. "
                "Read the findings: they name what to do."
            )
        waiting = {int(job.payload["evaluation_id"]) for job in jobs.list("evaluate") if job.active}
        queued = []
        for one in missing:
            made = self._evaluations.unfinished(one.question_set_ids, one.plan)
            if made is None:
                made = self._evaluations.create(
                    one.question_set_ids, one.plan, title=one.title, account_id=account_id
                )
            if made not in waiting:
                jobs.submit(
                    "evaluate", {"evaluation_id": made}, title=f"Evaluating: {one.title}",
                    account_id=account_id,
                )  # fmt: skip
            queued.append(made)
        return queued

    def history(self, limit: int = 50) -> list[GateDecision]:
        """The newest decisions, newest first."""
        query = sa.select(GateRow).order_by(GateRow.id.desc()).limit(limit)
        with self._home.database.session() as session:
            return [
                GateDecision(
                    row.adapter, row.allowed, row.overridden, tuple(row.findings), row.reason,
                    row.account_id, row.created_at,
                )
                for row in session.scalars(query)
            ]  # fmt: skip

    def _check(
        self, about: str, columns: tuple[Column, Column], given: int | None, name: str
    ) -> Check:
        general = about == "general"
        margin = GENERAL_MARGIN if general else self._margin
        number = given
        if number is None:
            number = self._evidence.newest(columns, general=general)
        if number is None:
            return self._unmeasured(about, columns, name)
        mine, other = self._evidence.columns(number, columns)
        rows = self._evaluations.rows(number)
        if given is None or not general:
            rows = [row for row in rows if is_general(row.question) == general]
        passed, finding = not_worse(
            [row for row in rows if row.arm == mine],
            [row for row in rows if row.arm == other],
            margin,
            name,
        )
        enough = max(ENOUGH, least_questions(margin))
        asked = len({row.question.fact_id for row in rows})
        missing = None
        if asked < enough:
            missing = self._evidence.missing(columns, general=general, more_than=asked)
        return Check(about, passed, f"Evaluation {number}: {finding}", number, missing)

    def _unmeasured(self, about: str, columns: tuple[Column, Column], name: str) -> Check:
        general = about == "general"
        missing = self._evidence.missing(columns, general=general)
        margin = GENERAL_MARGIN if general else self._margin
        enough = max(ENOUGH, least_questions(margin))
        finding = (
            f"Not measured yet: '{columns[0].adapter}', with its present weights, against {name}."
        )
        if missing:
            finding += f" Run the evaluation “{missing.title}” ({missing.questions} questions)."
        elif general:
            finding += (
                " No stored question set is general. Add one on the Evaluation page: at least "
                f"{enough} questions of everyday knowledge, each with the tag 'general'; "
                "sample/questions/general.jsonl, which comes with Inhouse, is such a set."
            )
        else:
            finding += (
                f" Add a question set of at least {enough} held-out questions on the Evaluation "
                "page first."
            )
        return Check(about, False, finding, None, missing)


def _row(decision: GateDecision) -> GateRow:
    return GateRow(**{**decision.__dict__, "findings": list(decision.findings)})


def not_worse(
    candidate: Sequence[EvaluatedRow], rival: Sequence[EvaluatedRow], margin: float, name: str
) -> tuple[bool, str]:
    """Non-inferiority of two arms in questions handled rightly.

    The interval is the wider, at each end, of the bootstrap over facts and the score interval in
    which the wordings of a fact count as one observation.

    Returns:
        whether the candidate passes, and the finding as a sentence.
    """
    places = {row.question.id: number for number, row in enumerate(rival)}
    mine = [replace(r, ordinal=places[r.question.id]) for r in candidate if r.question.id in places]
    theirs = [replace(row, ordinal=places[row.question.id]) for row in rival]
    tested = compare(mine, theirs)["measures"]["correct"]
    gap, count = tested["difference"], tested["difference"]["n"]
    failed = {row.ordinal for row in (*mine, *theirs) if row.error}
    facts = len({row.question.fact_id for row in mine if row.ordinal not in failed})
    enough = max(ENOUGH, least_questions(margin))
    lost = f" {len(failed)} questions failed and are not counted." if failed else ""
    if facts < enough:
        return False, (
            f"against {name}: {count} questions on {facts} facts are too few. Even if no answer "
            f"differed, a margin of {100 * margin:.0f} points takes {enough} facts.{lost}"
        )
    scale = facts / count
    wins, losses = scale * tested["wins"], scale * tested["losses"]
    low = min(gap["low"], lower_bound(wins, losses, facts))
    high = max(gap["high"], upper_bound(wins, losses, facts))
    passed = low > -margin
    span = f"{100 * low:+.1f} to {100 * high:+.1f}"
    verdict = "not worse, with" if passed else "not shown to stay within"
    if high < -margin:
        verdict = "worse, beyond"
    return passed, (
        f"against {name}: {100 * gap['value']:+.1f} points (95%: {span}) on {count} questions, "
        f"{verdict} the margin of {100 * margin:.0f} points.{lost}"
    )
