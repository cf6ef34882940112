"""Where the real handbooks and questions lie, and what is said when they do not."""

import argparse
import json
import sys
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"
HANDBOOK = SHARED / "handbooks" / "18f-handbook"
QUESTIONS = SHARED / "qa" / "18f"
KINDS = ("seen", "unseen", "unanswerable")
"""Of questions; each in a file of its own, heldout_KIND.jsonl."""


def all_there(*paths: Path) -> bool:
    """Whether every path exists; the first that does not is named with the remedy."""
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        print(f"Not measured: '{missing}' is missing. The real handbooks lie in '{SHARED}'; "
              "name others with --handbook and --questions.", file=sys.stderr)  # fmt: skip
    return missing is None


def timing_arguments(doc: str | None) -> argparse.Namespace:
    """What a benchmark that times questions about a handbook is told."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--handbook", type=Path, default=HANDBOOK)
    parser.add_argument("--questions", type=Path, default=QUESTIONS / "heldout_unseen.jsonl")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=20)
    return parser.parse_args()


def some_questions(file: Path, rows: int) -> list[str]:
    """That many questions of a file, evenly spaced."""
    lines = file.read_text("utf-8").splitlines()
    step = max(1, len(lines) // rows)
    return [json.loads(line)["question"] for line in lines[::step][:rows]]
