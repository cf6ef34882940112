"""The gate: an adapter becomes the employees' default only if it is not worse.

Not worse means: the whole 95% interval of the difference lies above minus the margin (a
non-inferiority test at 2.5% a side). Too few questions therefore close the gate: what cannot be
told is not let through. An admin may override; the reason is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from assistant.engines.adapter_files import weights_hash
from assistant.modes import AnswerMode
from assistant.shelf import Shelf
from core.database import now
from core.errors import Conflict, InvalidInput
from core.home import Home
from eval.evaluations import Evaluations
from eval.recommend import ENOUGH
from eval.records import EvaluatedRow
from eval.summary import compare
from eval.tables import GateRow

MARGIN = 0.03
MODE = AnswerMode.TUNED_RAG
"""The mode that a default adapter serves beside documents."""


@dataclass(frozen=True)
class GateDecision:
    """What the gate found, and what became of it."""

    adapter: str
    allowed: bool
    overridden: bool
    findings: tuple[str, ...]
    """One sentence a comparison."""
    reason: str
    account_id: int | None
    created_at: datetime


class Gate:
    """Promotes adapters that pass, and keeps every decision."""

    def __init__(self, home: Home, *, margin: float = MARGIN) -> None:
        """`margin` is the loss, 0 to 1, that is still called not worse."""
        self._home = home
        self._margin = margin
        self._evaluations = Evaluations(home)

    def judge(
        self, adapter: str, evaluation_id: int, general_id: int | None = None
    ) -> tuple[bool, list[str]]:
        """Tell whether `adapter` may become the default, and why.

        Args:
            adapter: the candidate.
            evaluation_id: a finished evaluation of the candidate, and of the present default if
                there is one, on the firm's questions. Without a default the candidate is held
                against the same answers without adapter.
            general_id: a finished evaluation of `base` and `tuned` on general questions.

        Raises:
            InvalidInput: the evaluation lacks an arm that is needed.
            NotFound: no such evaluation.
        """
        current = Shelf(self._home).default()
        rival = current if current != adapter else None
        verdicts = [self._against_current(adapter, rival, evaluation_id)]
        if general_id is not None:
            verdicts.append(self._against_base(adapter, general_id))
        return all(passed for passed, _ in verdicts), [finding for _, finding in verdicts]

    def promote(
        self,
        adapter: str,
        evaluation_id: int,
        *,
        general_id: int | None = None,
        account_id: int | None = None,
        override_reason: str = "",
    ) -> GateDecision:
        """Make `adapter` the default if it passes, or if an admin gives a reason to override.

        Raises:
            Conflict: it does not pass and no reason is given; nothing is changed.
            InvalidInput, NotFound: as `judge`.
        """
        allowed, findings = self.judge(adapter, evaluation_id, general_id)
        reason = override_reason.strip()
        decision = GateDecision(
            adapter,
            allowed,
            bool(reason) and not allowed,
            tuple(findings),
            reason,
            account_id,
            now(),
        )
        if not allowed and not reason:
            self._keep(decision)
            raise Conflict(
                f"The adapter '{adapter}' is not promoted: {' '.join(findings)} "
                "Train it again, or override with a reason."
            )
        why = reason or f"passed the gate with evaluation {evaluation_id}"
        Shelf(self._home).set_default(adapter, account_id, why)
        self._keep(decision)
        return decision

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

    def _keep(self, decision: GateDecision) -> None:
        with self._home.database.session() as session:
            session.add(GateRow(**{**decision.__dict__, "findings": list(decision.findings)}))

    def _against_current(
        self, adapter: str, current: str | None, evaluation_id: int
    ) -> tuple[bool, str]:
        mine = self._arm(evaluation_id, MODE, adapter)
        other = self._arm(evaluation_id, MODE if current else AnswerMode.RAG, current)
        name = f"the present default '{current}'" if current else "no adapter"
        return self._not_worse(evaluation_id, mine, other, name)

    def _against_base(self, adapter: str, general_id: int) -> tuple[bool, str]:
        mine = self._arm(general_id, AnswerMode.TUNED, adapter)
        other = self._arm(general_id, AnswerMode.BASE, None)
        return self._not_worse(general_id, mine, other, "the base model on general questions")

    def _arm(self, evaluation_id: int, mode: AnswerMode, adapter: str | None) -> str:
        for arm in self._evaluations.get(evaluation_id).arms:
            if arm["mode"] == mode and arm["adapter"] == adapter and not arm["oracle"]:
                self._check_weights(adapter, arm["configuration"], evaluation_id)
                return str(arm["name"])
        wanted = f"'{mode.value}'" + (f" with the adapter '{adapter}'" if adapter else "")
        raise InvalidInput(
            f"Evaluation {evaluation_id} did not measure {wanted}. "
            "Run one that does, then promote with it."
        )

    def _check_weights(
        self, adapter: str | None, configuration: dict[str, Any], evaluation_id: int
    ) -> None:
        """An adapter trained again under its old name is another adapter."""
        if adapter is None:
            return
        weights = weights_hash(Shelf(self._home).get(adapter).ref.path)
        if configuration.get("adapter_hash") != weights:
            raise InvalidInput(
                f"Evaluation {evaluation_id} measured other weights under the name '{adapter}'. "
                "Run it again with the adapter as it is now."
            )

    def _not_worse(self, evaluation_id: int, mine: str, other: str, name: str) -> tuple[bool, str]:
        rows = self._evaluations.rows(evaluation_id)
        return not_worse(
            [row for row in rows if row.arm == mine],
            [row for row in rows if row.arm == other],
            self._margin,
            name,
        )


def not_worse(
    candidate: Sequence[EvaluatedRow], rival: Sequence[EvaluatedRow], margin: float, name: str
) -> tuple[bool, str]:
    """Non-inferiority of two arms in questions handled rightly.

    Returns:
        whether the candidate passes, and the finding as a sentence.
    """
    places = {row.question.id: number for number, row in enumerate(rival)}
    mine = [replace(r, ordinal=places[r.question.id]) for r in candidate if r.question.id in places]
    theirs = [replace(row, ordinal=places[row.question.id]) for row in rival]
    gap = compare(mine, theirs)["measures"]["correct"]["difference"]
    if gap["n"] < ENOUGH:
        return False, f"Against {name}: {gap['n']} questions are too few; {ENOUGH} are needed."
    passed = gap["low"] > -margin
    span = f"{100 * gap['low']:+.1f} to {100 * gap['high']:+.1f}"
    verdict = "not worse than" if passed else "not shown to stay within"
    return passed, (
        f"Against {name}: {100 * gap['value']:+.1f} points (95%: {span}) on {gap['n']} questions, "
        f"{verdict} the margin of {100 * margin:.0f} points."
    )
