"""Questions on the handbooks that the shipped finder and reader were not trained on.

    python -m benchmarks.held_back --output DIR [--sources NAME...]
    python -m retrieval ingest HANDBOOK... --workspace W
    python benchmarks/grounding.py --workspace W --questions DIR

Writes the training files' questions about these sources in the form of a held-out set, so that a
choice can be made on them and the 18F handbook stays for measuring: as *seen* the question as it
stands, as *unseen* employees' other wordings of it, and the unanswerable ones.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.shared_data import KINDS, SHARED, all_there

SOURCES = ("clef-handbook", "civicactions-guidebook")


def held_back(rows: list[dict[str, Any]], sources: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Every wording of the rows about `sources`, with its kind."""
    for row in rows:
        source, _, file = (row.get("evidence_file") or row["near_file"]).partition("/")
        if source not in sources:
            continue
        answerable = bool(row.get("evidence_quote"))
        for number, question in enumerate([row["question"], *row["wordings"]]):
            kind = "unanswerable" if not answerable else "unseen" if number else "seen"
            yield {
                "id": f"{row['id']}-{number}",
                "fact_id": row["id"],
                "kind": kind,
                "question": question,
                "answer": row["answer"],
                "short_answers": row["short_answers"],
                "evidence_file": file if answerable else "",
                "evidence_quote": row.get("evidence_quote", ""),
            }


def main() -> int:
    """Write one file a kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--sources", nargs="+", default=list(SOURCES))
    given = parser.parse_args()
    if not all_there(SHARED / "qa"):
        return 2
    files = sorted((SHARED / "qa").glob("train-*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    found = list(held_back(rows, tuple(given.sources)))
    given.output.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        own = [json.dumps(row, ensure_ascii=False) for row in found if row["kind"] == kind]
        (given.output / f"heldout_{kind}.jsonl").write_text("\n".join([*own, ""]), "utf-8")
        print(f"{kind}: {len(own)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
