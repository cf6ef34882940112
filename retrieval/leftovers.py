"""What an ingest left out, told by reason: hundreds of pictures are one line, not hundreds."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from retrieval.discovery import Failure

EXAMPLES = 3
_KIND = re.compile(r"^files of the kind '([^']*)' are not read")


@dataclass(frozen=True)
class LeftOut:
    """Files that were left out for one reason."""

    reason: str
    """Without a file's name; for kinds of files that are not read it names them all."""
    paths: tuple[str, ...]

    @property
    def examples(self) -> str:
        """The first paths, and how many more there are."""
        more = len(self.paths) - EXAMPLES
        shown = ", ".join(self.paths[:EXAMPLES])
        return f"{shown} and {more:,} more" if more > 0 else shown


def by_reason(failures: Iterable[Failure]) -> list[LeftOut]:
    """Put failures of one reason together, in the order in which reasons first occur.

    All files of kinds that are not read count as one reason, whatever their endings.
    """
    paths: dict[str, list[str]] = {}
    kinds: dict[str, Counter[str]] = {}
    for failure in failures:
        reason = failure.reason.removeprefix(f"'{failure.path}': ")
        found = _KIND.match(reason)
        if found:
            reason = _KIND.sub("", reason)
            kinds.setdefault(reason, Counter())[found[1]] += 1
        paths.setdefault(reason, []).append(failure.path)
    return [
        LeftOut(_kinds_named(kinds[reason]) + reason if reason in kinds else reason, tuple(those))
        for reason, those in paths.items()
    ]


def _kinds_named(kinds: Counter[str]) -> str:
    if len(kinds) == 1:
        return f"files of the kind '{next(iter(kinds))}' are not read"
    named = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common())
    return f"files of these kinds are not read: {named}"
