"""Which stored evaluation tells what the gate asks, and which one to run where none does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assistant.engines.adapter_files import weights_hash
from assistant.modes import AnswerMode
from assistant.quoting import NAME as QUOTATION
from assistant.shelf import Shelf
from core.errors import InvalidInput
from core.home import Home
from eval.arms import Plan
from eval.evaluations import Evaluations
from eval.question_sets import QuestionSet, QuestionSets
from eval.questions import HeldOutQuestion
from eval.stored import DONE, Evaluation

GENERAL = "general"
"""Tag of questions that have nothing to do with the firm: they show whether training did harm."""


def is_general(question: HeldOutQuestion) -> bool:
    """Tell whether a question is general knowledge and not the firm's."""
    return GENERAL in question.tags


@dataclass(frozen=True)
class Column:
    """A column of an evaluation that the gate needs."""

    mode: AnswerMode
    adapter: str | None

    @property
    def wanted(self) -> str:
        """How the column is named in sentences."""
        name = f"'{self.mode.value}'"
        return f"{name} with the adapter '{self.adapter}'" if self.adapter else name


@dataclass(frozen=True)
class Missing:
    """An evaluation that would tell."""

    question_set_ids: tuple[int, ...]
    plan: Plan
    title: str
    questions: int


class Evidence:
    """Looks through the stored evaluations of one installation."""

    def __init__(self, home: Home) -> None:
        """`home` is the opened installation."""
        self._home = home
        self._evaluations = Evaluations(home)
        self._sets = QuestionSets(home)
        self._shelf = Shelf(home)

    def newest(self, columns: Sequence[Column], *, general: bool) -> int | None:
        """The newest finished evaluation that measured all columns with their present weights."""
        own, weights = self._home.settings.model, self._weights(columns)
        for one in self._evaluations.list():
            suits = one.state == DONE and one.plan.models in ((), (own,))
            asked = any(is_general(question) == general for question in one.questions)
            if suits and asked and not any(_problem(one, c, weights)[1] for c in columns):
                return one.id
        return None

    def columns(self, evaluation_id: int, columns: Sequence[Column]) -> list[str]:
        """Names of the columns in a finished evaluation.

        Raises:
            NotFound: no such evaluation, or it is not finished.
            InvalidInput: it did not measure one, or measured other weights.
        """
        self._evaluations.summary(evaluation_id)
        evaluation = self._evaluations.get(evaluation_id)
        names, weights = [], self._weights(columns)
        for column in columns:
            name, problem = _problem(evaluation, column, weights)
            if problem:
                raise InvalidInput(problem)
            names.append(name)
        return names

    def _weights(self, columns: Sequence[Column]) -> dict[Column, str | None]:
        """What each column answers with now: an adapter's hash, quotations, or None."""
        reader = self._shelf.serving_reader(self._home.settings)
        found: dict[Column, str | None] = {}
        for column in columns:
            on = self._shelf.get(column.adapter) if column.adapter else None
            if column.mode is AnswerMode.RAG:
                on = reader
            found[column] = weights_hash(on.ref.path) if on else None
            if column.mode is AnswerMode.RAG and self._home.settings.rag_reader == "quote":
                found[column] = QUOTATION
        return found

    def missing(
        self, columns: Sequence[Column], *, general: bool, more_than: int = 0
    ) -> Missing | None:
        """The evaluation to run; None where no stored set holds more facts than `more_than`."""
        sets = self._question_sets(general=general)
        facts = {question.fact_id for one in sets for question in one.questions}
        if len(facts) <= more_than:
            return None
        adapters = tuple(column.adapter for column in columns if column.adapter)
        modes = tuple(mode for mode in AnswerMode if mode in {c.mode for c in columns})
        plan = Plan(modes=modes, adapters=adapters, latency_sample=0)
        about = "general questions" if general else "the firm's questions"
        return Missing(
            tuple(one.id for one in sets),
            plan,
            f"Gate: {' and '.join(adapters)} on {about}",
            sum(len(one.questions) for one in sets),
        )

    def _question_sets(self, *, general: bool) -> list[QuestionSet]:
        """The stored sets of that sort: of each name the newest version, equal ones once."""
        newest: dict[str, QuestionSet] = {}
        for one in self._sets.list():
            newest.setdefault(one.name, one)
        # `eval run --questions FILE` stores a file under its name, though it may be there already.
        different = {one.version: one for one in newest.values()}
        return [
            one
            for one in different.values()
            if all(is_general(question) for question in one.questions) == general
        ]


def _problem(
    evaluation: Evaluation, column: Column, weights: Mapping[Column, str | None]
) -> tuple[str, str]:
    """The column's name in the evaluation, or why it cannot be used."""
    for arm in evaluation.arms:
        if (arm["mode"], arm["adapter"]) != (column.mode, column.adapter) or arm["oracle"]:
            continue
        # An adapter trained again under its old name is another adapter.
        measured = arm["configuration"]
        if measured.get("adapter_hash", measured.get("reader")) == weights[column]:
            return str(arm["name"]), ""
        what = f"the name '{column.adapter}'" if column.adapter else f"the mode {column.wanted}"
        return "", (
            f"Evaluation {evaluation.id} measured other weights under {what}. "
            "Run it again with what answers now."
        )
    return "", (
        f"Evaluation {evaluation.id} did not measure {column.wanted}. "
        "Run one that does, then promote with it."
    )
