"""Claim: evidence first answers sooner than four whole chunks, though a finder reads twelve.

Peer, in the same run and before the same language model: LangChain's tutorial search
(RecursiveCharacterTextSplitter 1000/200, MiniLM, FAISS) with its four best chunks in the prompt.
Seconds are from the question to the first piece of the answer, on a clock.

    python -m benchmarks.first_token --workspace DIR [--handbook DIR] [--rows N]

The workspace keeps the index between runs.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sentence_transformers import SentenceTransformer

from assistant.engines.base import LanguageModel, Sampling, never
from assistant.prompts import render
from assistant.service import open_model
from benchmarks.retrieval import tutorial
from benchmarks.shared_data import all_there, some_questions, timing_arguments
from core.home import Home, open_home
from core.permissions import OPERATOR
from core.progress import Silent
from retrieval.evidence_service import backbone_folder
from retrieval.passages import Passage
from retrieval.service import open_retrieval

CHUNKS = 4

Find = Callable[[str], Sequence[Passage]]


def first_tokens(model: LanguageModel, find: Find, questions: Sequence[str]) -> list[float]:
    """Seconds to the first piece of each answer, after one question that is not counted."""
    seconds = []
    for question in (questions[0], *questions):
        started = time.monotonic()
        prompt = render(question, find(question))
        pieces = model.stream(prompt, adapter=None, sampling=Sampling(2), cancelled=never)
        next(iter(pieces))
        seconds.append(time.monotonic() - started)
    return seconds[1:]


def ours(home: Home, handbook: Path) -> Find:
    """The product's search and evidence finder, as they come."""
    retrieval = open_retrieval(home)
    if not retrieval.library.count(OPERATOR):
        retrieval.ingestor.ingest([handbook], progress=Silent())
    passages = home.settings.passages
    return lambda question: retrieval.retriever.search(question, limit=passages, reader=OPERATOR)


def theirs(handbook: Path) -> Find:
    """The tutorial's search, its chunks as passages."""
    search, _, _ = tutorial(handbook, SentenceTransformer(str(backbone_folder())))
    return lambda question: [
        Passage(0, 0, document, document, "", text, 0.0)
        for document, text in search(question)[:CHUNKS]
    ]


def main() -> int:
    """Run and print both medians and their ratio."""
    arguments = timing_arguments(__doc__)
    if not all_there(arguments.handbook, arguments.questions):
        return 2
    questions = some_questions(arguments.questions, arguments.rows)
    home = open_home(workspace=arguments.workspace)
    model = open_model(home)
    medians = {}
    for name, find in (
        ("evidence finder", ours(home, arguments.handbook)),
        ("four chunks", theirs(arguments.handbook)),
    ):
        medians[name] = statistics.median(first_tokens(model, find, questions))
        print(f"{name:16} first token after {medians[name]:.2f} s (median of {len(questions)})")
    ratio = medians["four chunks"] / medians["evidence finder"]
    print(f"evidence is {ratio:.2f} times as fast as four chunks")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
