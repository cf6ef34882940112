"""Evaluations of one installation: asked for, run, resumed, scored again, read, compared."""

import builtins
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from core.database import now
from core.errors import Conflict, InhouseError, InvalidInput, NotFound, Stopped
from core.home import Home
from core.progress import Progress, Silent
from core.workspace import remove_folder
from eval.arms import Plan, digest
from eval.at_work import AtWork, present_state
from eval.live import live_figures
from eval.question_sets import QuestionSet, QuestionSets
from eval.questions import evidence_warnings, merge, spread, weak_answers
from eval.recommend import recommend
from eval.records import EvaluatedRow, Records
from eval.report import keep_current, mark_current, write_report
from eval.row_access import documents_of
from eval.runner import PreparedArm, Runner, Subject, prepare
from eval.score_extras import add_judgements, look_deeper
from eval.scorer import Embed, score_all
from eval.statistics import SEED
from eval.stored import (
    DONE,
    FAILED,
    NEW,
    RUNNING,
    STOPPED,
    Evaluation,
    RowFilter,
    from_row,
    present,
)
from eval.summary import FORMAT, compare, summarise, timing
from eval.tables import EvaluationRow

__all__ = ["Evaluation", "Evaluations", "Plan", "QuestionSet", "QuestionSets", "RowFilter"]

LIBRARIES = ("transformers", "torch", "peft", "sentence-transformers", "faiss-cpu", "bm25s",
             "rouge_score", "sacrebleu", "scipy", "statsmodels", "numpy")  # fmt: skip


class Evaluations:
    """The stored evaluations of one installation."""

    def __init__(
        self,
        home: Home,
        open_subjects: Callable[[Home], Callable[[str | None], Subject]] | None = None,
    ) -> None:
        """`open_subjects` opens what is measured; None: the installation's own assistant."""
        self._home = home
        self._database = home.database
        self._records = Records(home.database)
        self._work = AtWork(home, "evaluate", "evaluation_id")
        self._open_subjects = open_subjects

    def create(
        self,
        question_set_ids: Sequence[int],
        plan: Plan,
        *,
        title: str = "",
        account_id: int | None = None,
        fresh: bool = False,
    ) -> int:
        """Store an evaluation to be run, with its own copy of the questions; return its id.

        Args:
            question_set_ids: one or more stored sets; joined in this order.
            plan: modes, adapters, limits.
            title: shown to people; by default the names of the sets.
            account_id: who asked for it.
            fresh: answer everything anew, even what this configuration answered before.

        Raises:
            NotFound: no such question set.
            InvalidInput: no set is given.
        """
        if not question_set_ids:
            raise InvalidInput("No question set is given. Choose one, or add one first.")
        sets = [QuestionSets(self._home).get(set_id) for set_id in question_set_ids]
        questions = spread(merge([one.questions for one in sets]), plan.limit)
        with self._database.session() as session:
            row = EvaluationRow(
                title=(title or ", ".join(one.name for one in sets))[:200],
                state=NEW,
                plan=plan.as_json(),
                questions=[question.as_json() for question in questions],
                question_sets=[{"id": s.id, "name": s.name, "version": s.version} for s in sets],
                arms=[],
                summary=None,
                warnings=[],
                error="",
                account_id=account_id,
                created_at=now(),
            )
            session.add(row)
            session.flush()
            if fresh:
                row.plan = replace(plan, repeat=row.id).as_json()
            return row.id

    def get(self, evaluation_id: int) -> Evaluation:
        """One evaluation.

        Raises:
            NotFound: no such evaluation.
        """
        with self._database.session() as session:
            row = present(session.get(EvaluationRow, evaluation_id), evaluation_id)
        return self._as_they_are([from_row(row)])[0]

    def exists(self, evaluation_id: int) -> bool:
        """Tell whether an evaluation is still there."""
        with self._database.session() as session:
            return session.get(EvaluationRow, evaluation_id) is not None

    def _as_they_are(self, found: builtins.list[Evaluation]) -> builtins.list[Evaluation]:
        """Put right what a process could not write any more when it was killed."""
        open_ones = {one.id: one.created_at for one in found if one.state != DONE}
        jobs = self._work.jobs(open_ones)
        settled = []
        for one in found:
            held = one.id in open_ones and self._work.is_held(one.id)
            state, error = present_state(one.state, one.error, jobs.get(one.id), held=held)
            settled.append(replace(one, state=state, error=error))
        return settled

    def unfinished(self, question_set_ids: Sequence[int], plan: Plan) -> int | None:
        """The newest evaluation of exactly this that has not come to its end, to go on with."""
        for one in self.list():
            same = [entry["id"] for entry in one.question_sets] == list(question_set_ids)
            if one.state != DONE and same and replace(one.plan, repeat=0) == plan:
                return one.id
        return None

    def delete(self, evaluation_id: int) -> None:
        """Delete an evaluation and its report; its answers stay for others.

        Raises:
            NotFound: no such evaluation.
            Conflict: a process works on it, or a job waits to.
        """
        made = self.get(evaluation_id).created_at
        self._database.make_room()
        with self._work.ending(evaluation_id, made, f"Evaluation {evaluation_id}"):
            # Killed after this, it can be deleted again; a report must not outlive its number.
            remove_folder(self._folder(evaluation_id))
            self._records.delete(evaluation_id)
            with self._database.session() as session:
                session.delete(present(session.get(EvaluationRow, evaluation_id), evaluation_id))

    def require_unused(self, adapter: str) -> None:
        """Raise `Conflict` while an evaluation measures `adapter`, or waits to."""
        for one in self.list():
            waits = one.state == NEW and self._work.jobs({one.id: one.created_at})
            if adapter in one.plan.adapters and (one.state == RUNNING or waits):
                raise Conflict(
                    f"Evaluation {one.id} “{one.title}” measures the adapter '{adapter}'. "
                    "Stop it, or wait for its end."
                )

    def run(self, evaluation_id: int, progress: Progress | None = None) -> dict[str, Any]:
        """Answer what is not answered yet, score, write the report; return the summary.

        Calling it again after a stop or a crash goes on; on a finished one it only scores.

        Raises:
            NotFound: an adapter that is not there (any more).
            InvalidInput: a mode that searches documents where there are none.
            Stopped: somebody asked.
        """
        with self._work.held(evaluation_id):
            return self._run(evaluation_id, progress or Silent())

    def _run(self, evaluation_id: int, progress: Progress) -> dict[str, Any]:
        evaluation = self.get(evaluation_id)
        self._set(evaluation_id, state=RUNNING, error="")
        try:
            subject_of = self._subjects()
            arms = prepare(evaluation.plan, evaluation.questions, subject_of)
            self._set(
                evaluation_id,
                arms=[_arm_as_json(arm) for arm in arms],
                warnings=self._warnings(evaluation, subject_of(arms[0].arm.model)),
            )
            runner = Runner(self._records, subject_of, progress, evaluation.created_at)
            runner.run(evaluation.plan, evaluation.questions, arms)
            self._look_deeper(evaluation_id, subject_of, progress)
            return self._score(evaluation_id, subject_of(arms[-1].arm.model).embed)
        except Stopped as error:
            self._set(evaluation_id, state=STOPPED, error=error.message)
            raise
        except Exception as error:
            message = error.message if isinstance(error, InhouseError) else repr(error)
            self._set(evaluation_id, state=FAILED, error=message)
            raise

    def rescore(self, evaluation_id: int) -> dict[str, Any]:
        """Compute all measures anew from the stored answers; generates nothing.

        Raises:
            NotFound: no such evaluation, or answers are still missing.
        """
        evaluation = self.get(evaluation_id)
        if not evaluation.arms:
            raise NotFound(f"Evaluation {evaluation_id} has no answers yet. Run it first.")
        return self._score(evaluation_id, self._subjects()(None).embed)

    def summary(self, evaluation_id: int) -> dict[str, Any]:
        """All figures of a finished evaluation; docs/eval-schema.md describes them.

        Raises:
            NotFound: no such evaluation, or it is not finished.
        """
        summary = self.get(evaluation_id).summary
        if summary is None:
            raise NotFound(f"Evaluation {evaluation_id} is not finished. Run it to its end.")
        return summary

    def live(self, evaluation_id: int) -> dict[str, dict[str, Any]]:
        """How an unfinished evaluation stands: by arm, rows answered, failed, and rightly handled.

        Cheap enough to poll every second.
        """
        return live_figures(self._records, self.get(evaluation_id))

    def rows(self, evaluation_id: int, wanted: RowFilter | None = None) -> list[EvaluatedRow]:
        """Scored rows, by question, then in the order of the arms; empty until scored."""
        questions = self.get(evaluation_id).questions
        rows = self._records.rows(evaluation_id, questions)
        return rows if wanted is None else [row for row in rows if wanted.passes(row)]

    def report_path(self, evaluation_id: int, kind: str = "html") -> Path:
        """The report as 'html', 'md' or 'json'.

        Raises:
            NotFound: it is not written (yet).
        """
        path = self._folder(evaluation_id) / f"report.{kind}"
        if self.get(evaluation_id).summary is not None:
            gone = self._records.deleted_documents(evaluation_id)
            keep_current(path.parent, gone, partial(self.write_report, evaluation_id))
        if kind not in ("html", "md", "json") or not path.is_file():
            raise NotFound(
                f"There is no '{kind}' report of evaluation {evaluation_id}. Run or rescore it; "
                "reports are html, md and json."
            )
        return path

    def write_report(self, evaluation_id: int, folder: Path) -> Path:
        """Write report.html, report.md and report.json into `folder`; return the HTML's path."""
        self.summary(evaluation_id)
        return write_report(self.get(evaluation_id), self.rows(evaluation_id), folder)

    def compare(self, first_id: int, second_id: int) -> dict[str, Any]:
        """Arms of the same name in two evaluations, on the questions that both asked.

        Returns:
            {arm: differences first minus second}, as in the pairs of a summary, and the number
            of `questions` in common.

        Raises:
            InvalidInput: no question or no arm in common.
        """
        first, second = self.rows(first_id), self.rows(second_id)
        shared = {row.question.question for row in first} & {r.question.question for r in second}
        numbers = {text: number for number, text in enumerate(sorted(shared))}
        ours, theirs = _renumbered(first, numbers), _renumbered(second, numbers)
        names = [
            arm for arm in dict.fromkeys(r.arm for r in ours) if arm in {r.arm for r in theirs}
        ]
        if not names:
            raise InvalidInput(
                f"Evaluations {first_id} and {second_id} have no question and mode in common. "
                "Compare two that were made from the same question set."
            )
        arms = {
            arm: compare([r for r in ours if r.arm == arm], [r for r in theirs if r.arm == arm])
            for arm in names
        }
        return {"questions": len(shared), "modes": arms}

    def _look_deeper(
        self, evaluation_id: int, subject_of: Callable[[str | None], Subject], progress: Progress
    ) -> None:
        one = self.get(evaluation_id)
        arms = look_deeper(self._records, one.plan, one.questions, one.arms, subject_of, progress)
        self._set(evaluation_id, arms=arms)

    def _score(self, evaluation_id: int, embed: Embed) -> dict[str, Any]:
        evaluation = self.get(evaluation_id)
        scored = score_all(self._records, evaluation.questions, evaluation.arms, embed)
        more = add_judgements(self._records, evaluation.questions, evaluation.arms, scored)
        self._records.save_scores(evaluation_id, scored)
        gone = self._records.deleted_documents(evaluation_id)
        rows = self.rows(evaluation_id)
        summary = {**self._summarise(evaluation, rows), **more}
        self._set(
            evaluation_id,
            summary=summary,
            state=DONE,
            error="",
            finished_at=evaluation.finished_at or now(),
            documents=documents_of(self._home, evaluation.questions),
        )
        folder = self._folder(evaluation_id)
        write_report(self.get(evaluation_id), rows, folder)
        # So that whoever opens it first need not wait until it is written again.
        mark_current(folder, gone)
        return summary

    def _summarise(self, evaluation: Evaluation, rows: Sequence[EvaluatedRow]) -> dict[str, Any]:
        names = [arm["name"] for arm in evaluation.arms]
        summary = {"format": FORMAT, **summarise(rows, names)}
        summary["warnings"] = list(evaluation.warnings)
        summary["recommendation"] = recommend(summary, evaluation.plan).as_json()
        summary["reproduce"] = {
            "questions_sha256": digest([q.as_json() for q in evaluation.questions]),
            "question_sets": list(evaluation.question_sets),
            "configurations": {a["name"]: {**a["configuration"], "hash": a["hash"]}
                               for a in evaluation.arms},
            "seed": SEED,
            "plan": evaluation.plan.as_json(),
            "python": platform.python_version(),
            "versions": {name: version(name) for name in LIBRARIES},
        }  # fmt: skip
        streamed = {arm["name"]: self._streamed(arm) for arm in evaluation.arms}
        by_arm = {name: [row for row in rows if row.arm == name] for name in names}
        summary["timing"] = timing(by_arm, streamed, evaluation.plan.rates)
        return summary

    def _warnings(self, evaluation: Evaluation, subject: Subject) -> Sequence[str]:
        warnings = []
        if any(mode.uses_retrieval for mode in evaluation.plan.modes):
            warnings += evidence_warnings(evaluation.questions, subject.text_of)
        return [*warnings, *weak_answers(evaluation.questions)]

    def _streamed(self, arm: dict[str, Any]) -> list[dict[str, Any]]:
        stored = self._records.answers(arm["streamed_hash"], arm["question_hashes"])
        return [found.answer for found in stored.values() if found.answer is not None]

    def _subjects(self) -> Callable[[str | None], Subject]:
        if self._open_subjects is not None:
            return self._open_subjects(self._home)
        # Opens language models: not needed to list evaluations or to show a report.
        from eval.subject import subjects

        return subjects(self._home)

    def _folder(self, evaluation_id: int) -> Path:
        return self._home.workspace.evaluations / str(evaluation_id)

    def _set(self, evaluation_id: int, **values: Any) -> None:
        with self._database.session() as session:
            row = present(session.get(EvaluationRow, evaluation_id), evaluation_id)
            for name, value in values.items():
                setattr(row, name, value)

    def list(self, limit: int = 100) -> list[Evaluation]:
        """The newest evaluations, newest first."""
        query = sa.select(EvaluationRow).order_by(EvaluationRow.id.desc()).limit(limit)
        with self._database.session() as session:
            found = [from_row(row) for row in session.scalars(query)]
        return self._as_they_are(found)


def _renumbered(rows: Sequence[EvaluatedRow], numbers: dict[str, int]) -> list[EvaluatedRow]:
    return [
        replace(row, ordinal=numbers[row.question.question])
        for row in rows
        if row.question.question in numbers
    ]


def _arm_as_json(prepared: PreparedArm) -> dict[str, Any]:
    """An arm as it is stored: enough to score again without opening any engine."""
    arm = prepared.arm
    return {
        "name": arm.name,
        "label": arm.label,
        "mode": arm.mode.value,
        "adapter": arm.adapter,
        "oracle": arm.oracle,
        "model": arm.model,
        "configuration": prepared.configuration,
        "hash": prepared.hash,
        "streamed_hash": prepared.streamed_hash,
        "question_hashes": list(prepared.question_hashes),
    }
