"""Base models side by side before anything is trained: size, speed, memory, quality, licence."""

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from assistant.engines.embedded import EMBEDDED_NAME, embedded_gguf
from assistant.engines.source import ModelSource, count_parameters, locate_model
from core.database import now
from core.errors import InvalidInput, NotFound
from core.home import Home
from core.progress import Progress
from core.workspace import remove_folder
from eval.arms import Plan
from eval.at_work import AtWork, present_state
from eval.audit_report import write_audit
from eval.audit_speed import measured
from eval.evaluations import Evaluations
from eval.formatting import figure
from eval.model_identity import model_hash
from eval.question_sets import QuestionSets
from eval.stored import DONE, NEW, RUNNING
from eval.tables import ModelAuditRow


@dataclass(frozen=True)
class ModelAudit:
    """What was measured of one base model on this machine."""

    model: str
    """As it was asked for."""
    name: str
    """Identity of model, weights, dtype and quantisation."""
    parameters: int | None
    """Numbers in its weight files; None where they are packed and cannot be counted."""
    context_tokens: int
    weights_mb: float
    memory_mb: float
    """Growth of this process by loading and first use."""
    load_s: float
    first_token_s: float
    tokens_per_s: float
    licence: str
    """As its folder declares it, '' if it does not."""
    quality: dict[str, Any] | None
    """Measures of the mode `base` on the question set; None without a set."""

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Audit:
    """One comparison of base models, as far as it is measured."""

    id: int
    models: tuple[str, ...]
    question_set_ids: tuple[int, ...]
    plan: Plan
    results: tuple[ModelAudit, ...]
    account_id: int | None
    created_at: datetime
    finished_at: datetime | None
    state: str = NEW
    """As of an evaluation: new, running, stopped, failed (see `error`) or done."""
    error: str = ""


class Audits:
    """The audits of one installation."""

    def __init__(
        self, home: Home, measure: Callable[[Home, str], dict[str, Any]] = measured
    ) -> None:
        """`measure` loads a model and times it; by default in a process of its own."""
        self._home = home
        self._measure = measure
        self._evaluations = Evaluations(home)
        self._work = AtWork(home, "audit", "audit_id")

    def create(
        self,
        models: Sequence[str],
        question_set_ids: Sequence[int],
        plan: Plan,
        account_id: int | None = None,
    ) -> int:
        """Store an audit to be run; return its id.

        Args:
            models: as in the setting `model`.
            question_set_ids: sets for quality; empty: speed and size only.
            plan: modes and limit of the evaluations; its models are set here.
            account_id: who asked for it.

        Raises:
            EngineError: a model that is not there.
            InvalidInput: no model, or a mode with an adapter.
            NotFound: no such question set.
        """  # fmt: skip
        if not models:
            raise InvalidInput("No model is named. Name one or more.")
        if any(mode.uses_adapter for mode in plan.modes):
            raise InvalidInput("An audit measures base models: use the modes base and rag.")
        for model in models:
            model_hash(self._home, model)
        for set_id in question_set_ids:
            QuestionSets(self._home).get(set_id)
        row = ModelAuditRow(
            models=list(dict.fromkeys(models)), question_set_ids=list(question_set_ids),
            plan=plan.as_json(), results=[], evaluations={}, account_id=account_id,
            created_at=now(),
        )  # fmt: skip
        with self._home.database.session() as session:
            session.add(row)
            session.flush()
            return row.id

    def run(self, audit_id: int, progress: Progress) -> Audit:
        """Measure what is not measured yet, write the report; a stop loses one model at most.

        Quality comes from ordinary evaluations that stay in the list.

        Raises:
            NotFound: no such audit.
            EngineError: a model that cannot be loaded.
            Stopped: somebody asked.
        """
        with self._work.held(audit_id):
            return self._run(audit_id, progress)

    def _run(self, audit_id: int, progress: Progress) -> Audit:
        audit = self.get(audit_id)
        known = {one.model for one in audit.results}
        for number, model in enumerate(audit.models):
            progress.update(number, len(audit.models), model)
            if model in known:
                continue
            source, speed = self._source(model), self._measure(self._home, model)
            quality = self._quality(audit, model, progress)
            self._add(audit_id, _entry(model, source, speed, quality))
        progress.update(len(audit.models), len(audit.models))
        with self._home.database.session() as session:
            _present(session.get(ModelAuditRow, audit_id), audit_id).finished_at = now()
        finished = self.get(audit_id)
        self.write_report(audit_id, self._folder(audit_id))
        return finished

    def _quality(self, audit: Audit, model: str, progress: Progress) -> dict[str, Any] | None:
        if not audit.question_set_ids:
            return None
        with self._home.database.session() as session:
            row = _present(session.get(ModelAuditRow, audit.id), audit.id)
            number = row.evaluations.get(model)
        if number is None or not self._evaluations.exists(number):
            plan = replace(audit.plan, models=(model,))
            number = self._evaluations.create(
                audit.question_set_ids, plan, title=f"Audit {audit.id}: {model}"
            )
            with self._home.database.session() as session:
                row = _present(session.get(ModelAuditRow, audit.id), audit.id)
                row.evaluations = {**row.evaluations, model: number}
        if self._evaluations.get(number).state != DONE:
            self._evaluations.run(number, progress)
        return dict(self._evaluations.summary(number)["modes"])

    def _add(self, audit_id: int, result: ModelAudit) -> None:
        with self._home.database.session() as session:
            row = _present(session.get(ModelAuditRow, audit_id), audit_id)
            row.results = [*row.results, result.as_json()]

    def _source(self, model: str) -> ModelSource:
        settings = self._home.settings.model_copy(update={"model": model})
        return locate_model(settings, self._home.workspace)

    def get(self, audit_id: int) -> Audit:
        """One audit.

        Raises:
            NotFound: no such audit.
        """
        with self._home.database.session() as session:
            row = _present(session.get(ModelAuditRow, audit_id), audit_id)
        return self._as_they_are([row])[0]

    def _as_they_are(self, rows: Sequence[ModelAuditRow]) -> builtins.list[Audit]:
        open_ones = {row.id: row.created_at for row in rows if row.finished_at is None}
        jobs = self._work.jobs(open_ones)
        found = []
        for row in rows:
            # An audit writes no state: who works on an open one, or will, tells it.
            written = DONE if row.finished_at else RUNNING
            held = row.id in open_ones and self._work.is_held(row.id)
            found.append(_from_row(row, *present_state(written, "", jobs.get(row.id), held=held)))
        return found

    def delete(self, audit_id: int) -> None:
        """Delete an audit and its report; its evaluations stay.

        Raises:
            NotFound: no such audit.
            Conflict: a process works on it, or a job waits to.
        """
        made = self.get(audit_id).created_at
        with self._work.ending(audit_id, made, f"Audit {audit_id}"):
            remove_folder(self._folder(audit_id))
            with self._home.database.session() as session:
                session.delete(_present(session.get(ModelAuditRow, audit_id), audit_id))

    def write_report(self, audit_id: int, folder: Path) -> Path:
        """Write audit.html, audit.md and audit.json into `folder`; return the HTML's path."""
        audit = self.get(audit_id)
        data = [one.as_json() for one in audit.results]
        return write_audit(data, table(audit.results), audit.created_at, folder)

    def report_path(self, audit_id: int, kind: str = "html") -> Path:
        """The report as 'html', 'md' or 'json'.

        Raises:
            NotFound: it is not written (yet).
        """
        path = self._folder(audit_id) / f"audit.{kind}"
        if kind not in ("html", "md", "json") or not path.is_file():
            raise NotFound(f"There is no '{kind}' report of audit {audit_id}. Run it to its end.")
        return path

    def _folder(self, audit_id: int) -> Path:
        return self._home.workspace.evaluations / f"audit-{audit_id}"

    def list(self, limit: int = 20) -> list[Audit]:
        """The newest audits, newest first."""
        query = sa.select(ModelAuditRow).order_by(ModelAuditRow.id.desc()).limit(limit)
        with self._home.database.session() as session:
            return self._as_they_are(session.scalars(query).all())


def _present(row: ModelAuditRow | None, audit_id: int) -> ModelAuditRow:
    if row is None:
        raise NotFound(f"There is no audit {audit_id}. The Evaluation page lists them.")
    return row


def _from_row(row: ModelAuditRow, state: str, error: str) -> Audit:
    return Audit(
        row.id, tuple(row.models), tuple(row.question_set_ids), Plan.from_json(row.plan),
        tuple(ModelAudit(**one) for one in row.results), row.account_id, row.created_at,
        row.finished_at, state, error,
    )  # fmt: skip


def _entry(
    model: str, source: ModelSource, speed: Mapping[str, Any], quality: dict[str, Any] | None
) -> ModelAudit:
    return ModelAudit(
        model=model,
        parameters=count_parameters(source.folder),
        weights_mb=sum(f.stat().st_size for f in source.folder.glob("*.safetensors")) / 1e6,
        licence=licence(source.folder) or _packed_licence(source),
        quality=quality,
        **speed,
    )


def licence(folder: Path) -> str:
    """The licence that a model's README declares in its head, '' if it does not."""
    for name in ("README.md", "MODEL_CARD.md"):
        file = folder / name
        if file.is_file():
            for line in file.read_text("utf-8", errors="replace").splitlines()[:60]:
                if line.lower().startswith("license:"):
                    return line.partition(":")[2].strip()
    return ""


def _packed_licence(source: ModelSource) -> str:
    """What the embedded model's GGUF file declares: its converted folder carries no README."""
    if source.name != EMBEDDED_NAME:
        return ""
    with embedded_gguf().open("rb") as file:
        head = file.read(65_536)
    # A key is followed by the type (8: text), the text's length in eight bytes, and the text.
    _, found, rest = head.partition(b"general.license" + (8).to_bytes(4, "little"))
    length = int.from_bytes(rest[:8], "little")
    return rest[8 : 8 + length].decode("utf-8", "replace") if found else ""


def table(found: Sequence[ModelAudit]) -> str:
    """A Markdown table for people."""
    head = ("model", "parameters", "context", "weights MB", "memory MB", "load s",
            "first token s", "tokens/s", "licence", "accuracy")  # fmt: skip
    lines = [
        (one.model, f"{one.parameters:,}" if one.parameters else "packed",
         f"{one.context_tokens:,}", f"{one.weights_mb:.0f}", f"{one.memory_mb:.0f}",
         f"{one.load_s:.1f}", f"{one.first_token_s:.2f}", f"{one.tokens_per_s:.1f}",
         one.licence or "not declared", _accuracy(one))
        for one in found
    ]  # fmt: skip
    rows = [head, tuple("---" for _ in head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _accuracy(one: ModelAudit) -> str:
    if not one.quality:
        return "not measured"
    return "; ".join(
        f"{arm} {figure(measures['accuracy'], 'share')}" for arm, measures in one.quality.items()
    )
