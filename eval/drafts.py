"""A run that proposes questions from documents: planned, resumed where it was, reported."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.engines.base import LanguageModel
from core.errors import InvalidInput, NotFound, Stopped
from core.home import Home
from core.permissions import OPERATOR
from core.progress import Progress
from eval.arrival import Arrival
from eval.candidates import Candidates
from eval.drafting import Drafter, Tally, proposal_of, spot_key, spread_spots
from eval.evidence import all_documents
from eval.near import Wordings
from eval.scoring import same_document
from eval.spots import Spot, spots
from eval.tables import DraftRow
from retrieval.library import Document, Library

KIND = "draft"
MOST = 500
LOT = 4
"""Sentences asked about together: a stop waits for one lot at most."""


@dataclass(frozen=True)
class DraftPlan:
    """What is asked for."""

    documents: tuple[int, ...] = ()
    """Ids; none: all documents."""
    count: int = 30
    """Questions wanted."""

    def check(self) -> None:
        """Raise `InvalidInput` where the number cannot be."""
        if not 1 <= self.count <= MOST:
            raise InvalidInput(
                f"{self.count} questions cannot be proposed at once. Ask for 1 to {MOST}."
            )

    def as_json(self) -> dict[str, Any]:
        """Payload of a job."""
        return {"documents": list(self.documents), "count": self.count}

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> "DraftPlan":
        """Read what `as_json` wrote."""
        return cls(tuple(int(one) for one in payload["documents"]), int(payload["count"]))


@dataclass
class Drafts:
    """Proposes questions in one installation."""

    home: Home
    open_model: Callable[[Home], LanguageModel | None]
    """Called once a run; None: questions by rule only."""

    def run(self, plan: DraftPlan, progress: Progress, job_id: int | None = None) -> dict[str, Any]:
        """Propose questions until enough have passed the checks or no sentence is left.

        Each lot is stored as it is made. Called again with the same `job_id` it goes on.

        Returns:
            wanted, tried, survived, made_by, dropped, known (sentences passed over because they
            were proposed before), left (sentences not tried).

        Raises:
            InvalidInput: a number that cannot be; no documents.
            NotFound: a document that is not there (any more).
            Stopped: somebody asked; what was proposed stays.
        """
        plan.check()
        candidates = Candidates(self.home)
        tried, tally = self._begun(job_id)
        found = list(self._spots(plan))
        fresh = [spot for spot in found if not candidates.known(spot_key(spot))]
        left = [spot for spot in fresh if spot_key(spot) not in tried]
        drafter = Drafter(self.open_model(self.home), self._taken(candidates))
        progress.update(tally.kept.total(), plan.count, "reading the documents")
        while left and tally.kept.total() < plan.count:
            if progress.stop_requested():
                raise Stopped(f"Stopped after {tally.kept.total()} proposed questions; they stay.")
            room = plan.count - tally.kept.total()
            lot, left = left[: min(LOT, room)], left[min(LOT, room) :]
            drafts = drafter.draft(lot, tally)
            candidates.add([proposal_of(draft) for draft in drafts], job_id)
            tried += [spot_key(spot) for spot in lot]
            self._save(job_id, tried, tally)
            note = f"{tally.tried} sentences tried, {tally.kept.total()} questions proposed"
            progress.update(tally.kept.total(), plan.count, note)
        known = len(found) - len(fresh)
        return {"wanted": plan.count, **tally.as_json(), "known": known, "left": len(left)}

    def named(self, names: Sequence[str]) -> tuple[int, ...]:
        """Ids of the documents that `names` name: ids, paths, ends of paths, or folders.

        Raises:
            NotFound: a name that names none.
        """
        documents, found = all_documents(self._library()), list[int]()
        for name in names:
            fitting = [document.id for document in documents if _is_named(document, name)]
            if not fitting:
                raise NotFound(
                    f"No document is named '{name}'. `python -m retrieval list` shows the names."
                )
            found += fitting
        return tuple(dict.fromkeys(found))

    def _spots(self, plan: DraftPlan) -> Iterator[Spot]:
        library = self._library()
        if plan.documents:
            documents = [library.get(one, OPERATOR) for one in plan.documents]
        else:
            documents = all_documents(library)
        if not documents:
            raise InvalidInput(
                "The workspace holds no documents to ask about. Add some on the Documents page, "
                "or with `python -m retrieval ingest PATH`."
            )
        return spread_spots(
            [list(spots(one, library.chunks(one.id, OPERATOR))) for one in documents]
        )

    def _taken(self, candidates: Candidates) -> Wordings:
        trained = Arrival(self.home).trained_wordings()
        return Wordings([*candidates.asked_wordings().texts, *trained.texts])

    def _library(self) -> Library:
        return Library(self.home.database, self.home.workspace)

    def _begun(self, job_id: int | None) -> tuple[list[str], Tally]:
        """What an earlier attempt tried, and what became of it."""
        if job_id is None:
            return [], Tally()
        with self.home.database.session() as session:
            row = session.get(DraftRow, job_id)
            tried, tally = (
                ([], Tally()) if row is None else (list(row.tried), Tally.from_json(row.tally))
            )
        for one in Candidates(self.home).of_job(job_id):
            if one.key not in tried:
                # Proposed just before the attempt was killed.
                tried.append(one.key)
                tally.tried += 1
                tally.kept[str(one.about.get("made_by", "rule"))] += 1
        return tried, tally

    def _save(self, job_id: int | None, tried: Sequence[str], tally: Tally) -> None:
        if job_id is not None:
            with self.home.database.session() as session:
                session.merge(DraftRow(job_id=job_id, tried=list(tried), tally=tally.as_json()))


def _is_named(document: Document, name: str) -> bool:
    folder = name.rstrip("/") + "/"
    return (
        name == str(document.id)
        or same_document(document.path, name)
        or document.path.startswith(folder)
    )
