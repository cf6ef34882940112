"""What training data must not touch: held-out questions and restricted documents."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import DatasetError
from core.wordings import normalise
from training.dataset import Dataset, Fact
from training.rows import Problem, Severity, read_rows


def overlapping_wordings(dataset: Dataset, question_sets: Sequence[Path]) -> list[Problem]:
    """Return one problem for each training wording that a question set holds too.

    Wordings are compared after folding case, sentence marks and word order.

    Raises:
        DatasetError: a question set cannot be read.
    """
    held_out: dict[frozenset[str], str] = {}
    for path in question_sets:
        for row in read_rows(path).rows:
            question = row.values.get("question")
            if isinstance(question, str):
                held_out[frozenset(normalise(question).split())] = f"{path.name}, line {row.line:,}"
    problems = []
    for fact in dataset.facts:
        for wording in fact.wordings:
            place = held_out.get(frozenset(normalise(wording).split()))
            if place is not None:
                message = f"line {fact.line:,}: {wording[:60]!r} is a held-out question ({place})."
                problems.append(Problem(Severity.ERROR, "held-out question", message, fact.line))
    return problems


def refuse_overlap(dataset: Dataset, question_sets: Sequence[Path]) -> None:
    """Stop training on what will be asked in an evaluation.

    Raises:
        DatasetError: with the first overlapping wordings and the remedy.
    """
    problems = overlapping_wordings(dataset, question_sets)
    if problems:
        shown = "\n".join(f"  {problem.message}" for problem in problems[:10])
        raise DatasetError(
            f"'{dataset.name}' holds {len(problems):,} wordings of the question sets, so an "
            "evaluation on those would measure nothing. Take them out, or train all the same "
            f"with --allow-overlap (the box on the page):\n{shown}"
        )


def restricted_rows(
    dataset: Dataset, restricted: Mapping[str, frozenset[str]]
) -> list[tuple[Fact, frozenset[str]]]:
    """Return facts whose evidence lies in a document that only some groups may read.

    Args:
        dataset: the data to look at.
        restricted: groups by path of each restricted document.
    """
    found = []
    for fact in dataset.facts:
        for path, groups in restricted.items():
            if fact.evidence_file and same_document(path, fact.evidence_file):
                found.append((fact, groups))
                break
    return found


def restricted_problems(
    dataset: Dataset, restricted: Mapping[str, frozenset[str]]
) -> list[Problem]:
    """Say for each such fact who could read it so far: an adapter answers everybody."""
    return [
        Problem(
            Severity.WARNING,
            "restricted document",
            f"line {fact.line:,}: its evidence '{fact.evidence_file}' is for "
            f"{', '.join(sorted(groups))} only, but everybody can ask the adapter. "
            "Leave the row out unless the answer may be known to all.",
            fact.line,
        )
        for fact, groups in restricted_rows(dataset, restricted)
    ]


def same_document(path: str, named: str) -> bool:
    """Tell whether two paths name one document: equal, or one is the end of the other."""
    left, right = path.replace("\\", "/").strip("/"), named.replace("\\", "/").strip("/")
    return left == right or left.endswith(f"/{right}") or right.endswith(f"/{left}")
