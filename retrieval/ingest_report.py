"""What an ingest was asked, and what came of it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from core.progress import Progress
from retrieval.discovery import Failure
from retrieval.loading import Sandbox
from retrieval.origins import Catalogue, SameName


@dataclass
class IngestReport:
    """What an ingest did."""

    documents: int = 0
    """New or changed documents that went in."""
    chunks: int = 0
    skipped: int = 0
    """Files that were in already, unchanged."""
    failed: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a person should know of files that did go in, or were in."""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        return asdict(self)


@dataclass(frozen=True)
class IngestCall:
    """One ingest: what was asked, what is stored, and what came of it so far."""

    groups: frozenset[str]
    same_name: SameName
    catalogue: Catalogue
    report: IngestReport
    progress: Progress
    sandbox: Sandbox
    """Reads the files."""

    def note(self, line: str) -> None:
        """Tell people of a file that went in."""
        self.report.notes.append(line)
        self.progress.log(line)
