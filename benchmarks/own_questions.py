"""Our own questions on public handbooks, as files to train a finder and a reader with.

    python -m benchmarks.own_questions --output DIR
    python -m training evidence --dataset ../shared/qa/train-*.jsonl DIR/*.jsonl ...

`training/questions/` holds what we wrote: questions in several wordings, answers, and where in a
handbook the evidence stands. The handbooks are not part of this project, so their words are filled
in here. `--pack FILE...` does the opposite: it writes complete rows without their quotations.
"""

import argparse
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.shared_data import SHARED, all_there

PACKED = Path(__file__).resolve().parents[1] / "training" / "questions"
HANDBOOKS = SHARED / "handbooks"
OWN_WORDS = 6
"""An answer of so many words that stands in the page is the page's sentence, not ours."""


def text_of(handbooks: Path, file: str) -> str:
    """A handbook's page as it lies there."""
    return (handbooks / file).read_text("utf-8", errors="replace")


def packed(row: dict[str, Any], handbooks: Path = HANDBOOKS) -> dict[str, Any]:
    """The row without its quotation, nor an answer in the page's own words: with their places."""
    row = dict(row)
    quote = row.pop("evidence_quote", "")
    if not quote:
        return row
    text = text_of(handbooks, row["evidence_file"])
    row["evidence_at"] = place_of(quote, text)
    if row["evidence_at"] is None:
        raise ValueError(f"{row['id']}: '{quote[:60]}' does not stand in {row['evidence_file']}.")
    if len(row["answer"].split()) >= OWN_WORDS and (place := place_of(row["answer"], text)):
        row |= {"answer": "", "answer_at": place}
    return row


def place_of(words: str, text: str) -> list[Any] | None:
    """First character, length and digest of these words in a text, whatever stands between them."""
    between = r"\W+".join(map(re.escape, re.findall(r"\w+", words)))
    exact = re.search(r"\s+".join(map(re.escape, words.split())), text)
    found = exact or re.search(between, text, re.IGNORECASE)
    return [found.start(), len(found[0]), digest_of(found[0])] if found and between else None


def filled(row: dict[str, Any], handbooks: Path = HANDBOOKS) -> dict[str, Any]:
    """The row with its quotation, and such an answer, read from the handbook."""
    row = dict(row)
    for name, field in (("evidence_at", "evidence_quote"), ("answer_at", "answer")):
        if (place := row.pop(name, None)) is None:
            continue
        start, length, digest = place
        row[field] = text_of(handbooks, row["evidence_file"])[start : start + length]
        if digest_of(row[field]) != digest:
            page = row["evidence_file"]
            raise ValueError(f"{row['id']}: {page} is another version than was read.")
    return row


def digest_of(text: str) -> str:
    """Enough of a hash to notice another version of a page."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def rows_of(file: Path) -> Iterator[dict[str, Any]]:
    """Objects of a JSONL file."""
    for line in file.read_text("utf-8").splitlines():
        yield json.loads(line)


def main() -> int:
    """Write one file for each that is read."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--pack", nargs="+", type=Path, default=[], metavar="FILE")
    given = parser.parse_args()
    if not all_there(HANDBOOKS):
        return 2
    given.output.mkdir(parents=True, exist_ok=True)
    change = packed if given.pack else filled
    for file in given.pack or sorted(PACKED.glob("*.jsonl")):
        rows = [json.dumps(change(row), ensure_ascii=False) for row in rows_of(file)]
        (given.output / file.name).write_text("\n".join([*rows, ""]), "utf-8")
        print(f"{file.name}: {len(rows)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
