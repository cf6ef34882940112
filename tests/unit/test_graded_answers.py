"""The grading rule against grades given by reading answers of the sample company.

Grades were given from question, short answers and text. The first 54 rows came with the rule; the
other 146 were drawn at random and graded before the rule ran on them, and no grade was changed
afterwards. What the rule looks for was known, its verdicts were not. Those were graded once each,
so they say nothing of how far two readers agree.
"""

import json
from pathlib import Path

from assistant.citations import without_citations
from eval.judge import kappa
from eval.metrics import is_right

GRADED = Path(__file__).parents[1] / "golden" / "graded_answers.jsonl"
MEASURED = 196
"""Of 200. All four others are wrong answers that the rule calls right: a list of figures, two
founders where one runs the firm, and the short answer said of children or of each million."""


def test_the_rule_grades_as_a_reader_does() -> None:
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
    assert len(pairs) == 200
    assert sum(rule == reader for rule, reader in pairs) >= MEASURED
    agreement = kappa(pairs)
    assert agreement is not None
    assert agreement > 0.95
