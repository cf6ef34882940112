"""Claim: reading a chunk once for all its sentences is faster than a cross-encoder pair by pair.

Peer, in the same run, on the same weights: sentence-transformers' `CrossEncoder` on the embedder's
backbone, which reads question and one sentence with its heading and neighbours at a time, in its
default precision. Both judge the sentences of the same chunks, as the search found them.

    python -m benchmarks.finder --workspace DIR [--handbook DIR] [--rows N]

Prints milliseconds a question for the sentences of 2, 4, 12 and 20 chunks. The workspace keeps the
index between runs.
"""

import statistics
import time
from collections.abc import Callable, Sequence

from sentence_transformers import CrossEncoder

from benchmarks.shared_data import all_there, some_questions, timing_arguments
from core.home import open_home
from core.permissions import OPERATOR
from core.progress import Silent
from retrieval.evidence import Candidate, heading_of
from retrieval.evidence_model import CrossEncoderScorer
from retrieval.evidence_service import BUILTIN, backbone_folder
from retrieval.passages import Passage
from retrieval.sentences import plain, split_sentences
from retrieval.service import open_retrieval

CHUNKS = (2, 4, 12, 20)

Judge = Callable[[str, Sequence[Candidate]], object]


def candidate(passage: Passage) -> Candidate:
    """A passage as the finder reads it."""
    spans = split_sentences(passage.text)
    return Candidate(heading_of(passage), tuple(plain(passage.text[a:b]) for a, b in spans))


def pair_by_pair() -> Judge:
    """The peer; its head is untrained, which costs the same time."""
    model = CrossEncoder(str(backbone_folder()), num_labels=1, local_files_only=True)

    def judge(question: str, candidates: Sequence[Candidate]) -> object:
        pairs = [
            (question, " ".join([one.heading, *one.sentences[max(0, place - 1) : place + 2]]))
            for one in candidates
            for place in range(len(one.sentences))
        ]
        return model.predict(pairs, show_progress_bar=False)

    return judge


def milliseconds(judge: Judge, asked: Sequence[tuple[str, Sequence[Candidate]]]) -> float:
    """Median over questions, after one that is not counted."""
    seconds = []
    for question, candidates in (asked[0], *asked):
        started = time.monotonic()
        judge(question, candidates)
        seconds.append(time.monotonic() - started)
    return 1000 * statistics.median(seconds[1:])


def main() -> int:
    """Run and print a line a number of chunks."""
    given = timing_arguments(__doc__)
    if not all_there(given.handbook, given.questions):
        return 2
    questions = some_questions(given.questions, given.rows)
    retrieval = open_retrieval(open_home(workspace=given.workspace, evidence_finder="off"))
    if not retrieval.library.count(OPERATOR):
        retrieval.ingestor.ingest([given.handbook], progress=Silent())
    search = retrieval.retriever.search
    found = [[candidate(p) for p in search(q, limit=20, reader=OPERATOR)] for q in questions]
    ours, theirs = CrossEncoderScorer(BUILTIN, backbone_folder()).score, pair_by_pair()
    for count in CHUNKS:
        asked = [(q, few[:count]) for q, few in zip(questions, found, strict=True)]
        sentences = statistics.median(sum(len(c.sentences) for c in few) for _, few in asked)
        own, other = milliseconds(ours, asked), milliseconds(theirs, asked)
        print(f"{count:3} chunks, {sentences:4.0f} sentences: ours {own:6.0f} ms, pair by pair "
              f"{other:6.0f} ms, {other / own:.1f} times")  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
