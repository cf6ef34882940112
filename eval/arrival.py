"""What is looked at when questions arrive: the set itself, training data, documents."""

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from core.errors import DatasetError
from core.home import Home
from core.permissions import OPERATOR
from eval.evidence import EvidenceSource
from eval.near import Wordings
from eval.question_files import training_wordings
from eval.questions import (
    HeldOutQuestion,
    evidence_problem,
    find_trained,
    listing,
    near_duplicates,
    weak_answers,
)
from eval.recommend import ENOUGH
from retrieval.library import Library


@dataclass(frozen=True)
class TrainingData:
    """Wordings that a model was, or is about to be, trained on."""

    name: str
    wordings: tuple[str, ...]


class Arrival:
    """The checks of one installation: its training runs and its documents."""

    def __init__(self, home: Home) -> None:
        """Reads when asked, so that what was added meanwhile counts."""
        self._home = home

    def stored_training(self) -> tuple[list[TrainingData], list[str]]:
        """The data of every stored training run, and a remark for each that cannot be read."""
        found, remarks = [], []
        for path in sorted(self._home.workspace.runs.glob("*/dataset.*")):
            name = f"the data of training run {path.parent.name}"
            try:
                found.append(TrainingData(name, tuple(training_wordings(path))))
            except DatasetError as error:
                remarks.append(f"Overlap with {name} is not checked. {error.message}")
        return found, remarks

    def remarks(
        self,
        questions: Sequence[HeldOutQuestion],
        training: Sequence[TrainingData] = (),
        *,
        known: AbstractSet[str] = frozenset(),
    ) -> list[str]:
        """Refuse what was trained on; return what a person should look at.

        Args:
            questions: the whole set.
            training: more training data than that of the stored runs.
            known: wordings that were in the set before; a person saw them, so for these
                an overlap is a remark.

        Raises:
            DatasetError: a new question stands word for word in training data.
        """
        stored, remarks = self.stored_training()
        for data in (*training, *stored):
            remarks += _overlap(questions, data, known)
        return [
            *_too_few(questions),
            *near_duplicates(questions),
            *weak_answers(questions),
            *self._evidence(questions),
            *dict.fromkeys(remarks),
        ]

    def trained_wordings(self) -> Wordings:
        """All wordings of the stored training runs."""
        stored, _ = self.stored_training()
        return Wordings([wording for data in stored for wording in data.wordings])

    def evidence_text(self) -> Callable[[str], str | None]:
        """A function that returns the text of a document of that name, or None."""
        return EvidenceSource(self._library()).text_of

    def _library(self) -> Library:
        return Library(self._home.database, self._home.workspace)

    def _evidence(self, questions: Sequence[HeldOutQuestion]) -> Iterator[str]:
        named = [one for one in questions if one.evidence_file or one.evidence_quote]
        if named and self._library().count(OPERATOR) == 0:
            yield (
                f"The evidence of {len(named)} questions was not checked: the workspace holds no "
                "documents. Ingest them; the set is checked again whenever it is opened."
            )
            return
        text_of = self.evidence_text()
        for question in named:
            problem = evidence_problem(question, text_of)
            if problem:
                yield f"'{question.id}': {problem}"


def _overlap(
    questions: Sequence[HeldOutQuestion], data: TrainingData, known: AbstractSet[str]
) -> list[str]:
    found = find_trained(questions, Wordings(data.wordings))
    refused = [str(one) for one in found if one.exact and one.question.question not in known]
    if refused:
        raise DatasetError(listing(f"Held-out questions stand in {data.name}", refused))
    return [f"{one} ({data.name})" for one in found]


def _too_few(questions: Sequence[HeldOutQuestion]) -> Iterator[str]:
    if len(questions) < ENOUGH:
        count = f"{len(questions)} question{'s' if len(questions) != 1 else ''}"
        yield (
            f"The set holds {count}: below {ENOUGH} an evaluation gives no verdict, only wide "
            "intervals. Add more, or evaluate it together with other sets."
        )
