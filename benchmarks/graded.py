"""Answers of the grounding benchmark, graded: right, refused, rightly cited."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from assistant.prompts import REFUSAL, heading, is_refusal
from benchmarks.shared_data import KINDS
from eval.metrics import is_right
from retrieval.passages import Passage
from training.evidence_data import fold

FAILURES = 50
THRESHOLDS = (0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8)


@dataclass(frozen=True)
class Said:
    """An answer beside what it was made from."""

    row: dict[str, Any]
    kept: Sequence[Passage]
    text: str

    @property
    def refused(self) -> bool:
        """Whether it says that it does not know."""
        return is_refusal(self.text)

    @property
    def right(self) -> bool:
        """Whether a short answer stands in it."""
        return not self.refused and is_right(self.text, self.row["short_answers"])

    @property
    def wrong(self) -> bool:
        """Whether an answerable question was not answered rightly."""
        return has(self.row) and not self.right

    @property
    def rightly_cited(self) -> bool:
        """Whether a passage that it cites holds the evidence."""
        numbers = [n for n in range(1, len(self.kept) + 1) if f"[{n}]" in self.text]
        return any(holds(self.kept[n - 1], self.row) for n in numbers)

    def refused_below(self, threshold: float) -> "Said":
        """The same, refused if no passage's chance reaches `threshold`."""
        chance = max((passage.score for passage in self.kept), default=0.0)
        return replace(self, text=REFUSAL) if chance < threshold else self


def holds(passage: Passage, row: dict[str, Any]) -> bool:
    """Tell whether the evidence quote stands in a passage, both without markup."""
    quote = fold(row["evidence_quote"])
    return bool(quote) and _letters(quote) in _letters(fold(passage.text))


def _letters(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum() or letter in "$%")


def summary(said: Sequence[Said], threshold: float) -> dict[str, Any]:
    """Grades as said, and with what lies below each threshold refused, and some failures."""
    return {
        **graded(said),
        "refusing": [
            {"threshold": round(least, 3), **graded([one.refused_below(least) for one in said])}
            for least in (threshold, *THRESHOLDS)
        ],
        "failures": spread([failure(one) for one in said if one.wrong], FAILURES),
    }


def graded(said: Sequence[Said]) -> dict[str, Any]:
    """Shares of right answers by kind, of refusals, and of right answers rightly cited."""
    asked = [one for one in said if has(one.row)]
    right = [one for one in asked if one.right]
    return {
        **{
            kind: share([one.right for one in asked if one.row["kind"] == kind])
            for kind in KINDS[:2]
        },
        "refused": share([one.refused for one in said if not has(one.row)]),
        "false": share([one.refused for one in asked]),
        "right_citation": share([one.rightly_cited for one in right]),
        "questions": len(said),
    }


def spread(items: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """`count` of the items, evenly spaced."""
    step = max(1.0, len(items) / count)
    return [items[int(place * step)] for place in range(min(count, len(items)))]


def failure(one: Said) -> dict[str, Any]:
    """What went wrong, for people to read."""
    return {
        "question": one.row["question"],
        "wanted": one.row["short_answers"],
        "answer": one.text,
        "evidence_shown": any(holds(passage, one.row) for passage in one.kept),
        "headings": [heading(passage) for passage in one.kept],
    }


def has(row: dict[str, Any]) -> bool:
    """Whether a question can be answered."""
    return str(row["kind"]) != "unanswerable"


def share(values: Sequence[bool]) -> float:
    """Of what is true, 0 to 1; 0 of nothing."""
    return round(sum(values) / len(values), 3) if values else 0.0
