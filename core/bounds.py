"""How much a file of rows may hold before anybody parses it."""

from pathlib import Path

from core.errors import DatasetError

LARGEST_FILE = 256 * 1024 * 1024
MOST_LINES = 1_000_000
LONGEST_LINE = 1024 * 1024
DEEPEST = 20


def read_bounded(path: Path) -> bytes:
    """Read a file of rows: JSON and CSV take many times their size in memory.

    Raises:
        DatasetError: it is no plain file, or too large, or has too many or too long lines.
        OSError: it cannot be read.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DatasetError(f"'{path}' is not a regular file. Name a JSONL or CSV file.")
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise DatasetError(
            f"'{path.name}' has {size / 2**20:,.0f} MB; at most {LARGEST_FILE // 2**20} can be "
            "read. Split it."
        )
    content = path.read_bytes()
    lines = content.count(b"\n") + 1
    if lines > MOST_LINES:
        raise DatasetError(
            f"'{path.name}' has {lines:,} lines; at most {MOST_LINES:,} can be read. Split it."
        )
    start = number = 0
    while start < len(content):
        number += 1
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        if end - start > LONGEST_LINE:
            raise DatasetError(
                f"'{path.name}', line {number:,}: it has {end - start:,} bytes; at most "
                f"{LONGEST_LINE:,} can be read. Put long texts among the documents."
            )
        start = end + 1
    return content


def nested_too_deeply(value: object) -> bool:
    """Tell whether parsed JSON nests deeper than any row does; what handles rows recurses."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
