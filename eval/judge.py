"""An optional second opinion: a language model grades answers against their references.

Off unless asked for, shown beside the measures that can be checked by hand, and never part of the
verdict. A judgement is stored like an answer, under the judge's configuration and what it was
shown, so the same judgement is never asked for twice. One that failed, or that is not exactly one
of the grades, is missing: it is counted as missing and is in no figure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.citations import without_citations
from assistant.engines.base import LanguageModel, Sampling
from assistant.modes import Message
from core.errors import InhouseError, Stopped
from core.progress import Progress
from eval.arms import digest
from eval.questions import HeldOutQuestion
from eval.records import Records, StoredAnswer

RUBRIC_VERSION = "1"
GRADES = {"right": 1.0, "partly": 0.5, "wrong": 0.0}
_TOKENS = 8
_FAULTS = (InhouseError, RuntimeError, ValueError, OSError, MemoryError)
_RUBRIC = (
    "You grade an answer to a question. Compare the answer with the reference, which is true. "
    "Say 'right' if the answer states what the reference states and nothing that contradicts it, "
    "in whatever words. Say 'partly' if it states a part of it and nothing that contradicts it. "
    "Say 'wrong' otherwise. Say one word and nothing else: right, partly or wrong."
)
_UNANSWERABLE = "This cannot be answered. Only an answer that says so is right; any other is wrong."


def prompt(question: HeldOutQuestion, text: str) -> tuple[Message, Message]:
    """The rubric and one answer to grade; change `RUBRIC_VERSION` with any word of it."""
    reference = question.references[0] if question.answerable else _UNANSWERABLE
    shown = f"Question: {question.question}\nReference: {reference}\nAnswer: {text}\n\nGrade:"
    return Message("system", _RUBRIC), Message("user", shown)


def parse(said: str) -> str | None:
    """The grade, or None for anything but one of the three words; case and a full stop aside."""
    word = said.strip().removesuffix(".").casefold()
    return word if word in GRADES else None


def kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """Cohen's kappa of two yes-or-no grades (Cohen 1960): 1 agreement, 0 chance.

    None where it is not defined: no pairs, or both graders say the same of everything.
    """
    if not pairs:
        return None
    count = len(pairs)
    agreed = sum(a == b for a, b in pairs) / count
    first, second = (sum(pair[n] for pair in pairs) / count for n in (0, 1))
    chance = first * second + (1 - first) * (1 - second)
    return None if chance == 1.0 else (agreed - chance) / (1 - chance)


@dataclass(frozen=True)
class Judge:
    """Grades the answers of an evaluation with one engine."""

    model: LanguageModel
    records: Records

    @property
    def configuration(self) -> dict[str, Any]:
        """What its judgements depend on beside what they are shown."""
        return {"judge": self.model.name, "rubric": RUBRIC_VERSION, "max_tokens": _TOKENS}

    def grade(
        self,
        questions: Sequence[HeldOutQuestion],
        arms: Sequence[Mapping[str, Any]],
        progress: Progress,
        batch: int,
    ) -> None:
        """Ask for the judgements that are not stored yet, committed batch by batch.

        Args:
            questions: the evaluation's.
            arms: stored arms with `hash` and `question_hashes`; all answered.
            progress: asked whether to stop.
            batch: judgements asked for at a time.

        Raises:
            Stopped: somebody asked; finished batches are kept.
        """
        own = digest(self.configuration)
        shown = {
            key: asked for arm in arms for _, key, asked in _shown(self.records, questions, arm)
        }
        stored = self.records.answers(own, list(shown))
        missing = [key for key in shown if key not in stored or stored[key].error]
        for start in range(0, len(missing), batch):
            if progress.stop_requested():
                raise Stopped("The evaluation was stopped. What is judged is kept; start it again.")
            part = missing[start : start + batch]
            progress.update(start, len(missing), "Judging")
            said = self._ask([shown[key] for key in part])
            self.records.save(own, dict(zip(part, said, strict=True)))

    def _ask(self, prompts: Sequence[Sequence[Message]]) -> list[dict[str, Any] | str]:
        try:
            found = self.model.generate_batch(prompts, adapter=None, sampling=Sampling(_TOKENS))
        except _FAULTS as error:
            if len(prompts) == 1:
                return [f"{type(error).__name__}: {error}"]
            return [said for one in prompts for said in self._ask([one])]
        return [{"grade": parse(one.text), "said": one.text} for one in found]


def judgements(
    records: Records,
    configuration: Mapping[str, Any],
    questions: Sequence[HeldOutQuestion],
    arms: Sequence[Mapping[str, Any]],
) -> dict[tuple[str, int], float]:
    """The grades there are, 0 to 1, by arm and place of the question. Generates nothing."""
    own = digest(dict(configuration))
    grades = {}
    for arm in arms:
        shown = _shown(records, questions, arm)
        stored = records.answers(own, [key for _, key, _ in shown])
        for place, key, _ in shown:
            grade = _grade(stored.get(key))
            if grade is not None:
                grades[arm["name"], place] = grade
    return grades


def agreement(
    rows: Sequence[Mapping[str, Any]], grades: Mapping[tuple[str, int], float]
) -> dict[str, Any]:
    """How the judge stands to the grading by short answers.

    Args:
        rows: scored rows with `arm`, `ordinal` and `scores`; failed ones have no scores.
        grades: of the judge.

    Returns:
        `judged` and `missing` numbers of answers, and `kappa` of "right" against `correct`.
    """
    answered = [row for row in rows if row["scores"]]
    pairs = [
        (grades[row["arm"], row["ordinal"]] == 1.0, bool(row["scores"]["correct"]))
        for row in answered
        if (row["arm"], row["ordinal"]) in grades
    ]
    found = kappa(pairs)
    return {
        "judged": len(pairs),
        "missing": len(answered) - len(pairs),
        "kappa": None if found is None else round(found, 6),
    }


def _grade(stored: StoredAnswer | None) -> float | None:
    if stored is None or stored.answer is None or stored.answer["grade"] is None:
        return None
    return GRADES[stored.answer["grade"]]


def _shown(
    records: Records, questions: Sequence[HeldOutQuestion], arm: Mapping[str, Any]
) -> list[tuple[int, str, tuple[Message, Message]]]:
    """Place, key of the judgement, and what the judge is asked, of each answered question."""
    stored = records.answers(arm["hash"], arm["question_hashes"])
    shown = []
    for place, own in enumerate(arm["question_hashes"]):
        found = stored.get(own)
        if found is not None and found.answer is not None:
            said = without_citations(found.answer["text"], len(found.answer["passages"]))
            asked = prompt(questions[place], said)
            shown.append((place, digest([message.content for message in asked]), asked))
    return shown
