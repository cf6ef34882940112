"""The grading rule against a person who graded answers of the sample company without seeing it."""

import json
from pathlib import Path

from assistant.citations import without_citations
from eval.judge import kappa
from eval.metrics import is_right

GRADED = Path(__file__).parents[1] / "golden" / "graded_answers.jsonl"
MEASURED = 52
"""Of 54; the others are a list of figures, and two founders where one runs the firm."""


def test_the_rule_grades_as_a_person_does() -> None:
    rows = [json.loads(line) for line in GRADED.read_text("utf-8").splitlines()]
    pairs = [
        (
            is_right(
                without_citations(row["text"], row["passages"]),
                row["short_answers"],
                row["question"],
            ),
            row["right"],
        )
        for row in rows
    ]
    assert len(pairs) == 54
    assert sum(rule == person for rule, person in pairs) >= MEASURED
    agreement = kappa(pairs)
    assert agreement is not None
    assert agreement > 0.9
