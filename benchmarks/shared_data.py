"""Where the real handbooks and questions lie, and what is said when they do not."""

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
