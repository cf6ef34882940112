"""Claim: the hybrid search finds the right passage more often than the tutorial pipeline.

Peer, in the same run and on the same text: LangChain's tutorial (RecursiveCharacterTextSplitter
1000/200, the same MiniLM with sentence-transformers' defaults, FAISS, k = 5).

    python benchmarks/retrieval.py [--handbook DIR] [--questions FILE...] [--rows N] [--json]
"""

import argparse
import html
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
from langchain_text_splitters import RecursiveCharacterTextSplitter
from sentence_transformers import SentenceTransformer
from sqlalchemy import select

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.shared_data import HANDBOOK, QUESTIONS, all_there  # noqa: E402
from core.errors import DocumentError  # noqa: E402
from core.home import Home, open_home  # noqa: E402
from core.permissions import OPERATOR  # noqa: E402
from retrieval.chunking import indexed_text  # noqa: E402
from retrieval.discovery import Source, discover  # noqa: E402
from retrieval.embedding import SentenceEmbedder, open_embedder  # noqa: E402
from retrieval.index import IndexStore  # noqa: E402
from retrieval.loading import load_document, media_type_of  # noqa: E402
from retrieval.search import HybridRetriever, Ranking  # noqa: E402
from retrieval.service import open_retrieval  # noqa: E402
from retrieval.tables import ChunkRow, DocumentRow  # noqa: E402

TOP = 5
DEEP = 20
BUDGET_TOKENS = 700

Hit = tuple[str, str]
"""Document and text."""
Search = Callable[[str], list[Hit]]


@dataclass(frozen=True)
class Score:
    """Shares of questions, 0 to 1."""

    questions: int
    quote_top5: float
    file_top5: float
    quote_budget: float
    """The quote is within the first passages that together have at most BUDGET_TOKENS tokens."""
    tokens_top5: float


def folded(text: str) -> str:
    """Letters and digits of a text without markup: quotes keep raw markdown, passages do not."""
    text = re.sub(r"\{%-?\s*\w+\s*|-?%\}|\{\{.*?\}\}|</?\w[^<>]*>", " ", text)
    text = re.sub(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", text)
    return re.sub(r"[^a-z0-9$%]+", "", html.unescape(text).lower().replace("’", "'"))


def score(rows: Sequence[dict[str, Any]], search: Search, count: Callable[[str], int]) -> Score:
    """Search for every question and look where its evidence is."""
    quotes = files = budgeted = 0
    tokens = 0.0
    for row in rows:
        hits = search(row["question"])
        quote = folded(row["evidence_quote"])
        quotes += any(quote in folded(text) for _, text in hits[:TOP])
        files += any(document == row["evidence_file"] for document, _ in hits[:TOP])
        tokens += sum(count(text) for _, text in hits[:TOP])
        budgeted += any(quote in folded(text) for text in _within_budget(hits, count))
    total = len(rows)
    return Score(total, quotes / total, files / total, budgeted / total, tokens / total)


def _within_budget(hits: Sequence[Hit], count: Callable[[str], int]) -> list[str]:
    texts, left = [], BUDGET_TOKENS
    for _, text in hits:
        left -= count(text)
        if left < 0:
            break
        texts.append(text)
    return texts


def ours(home: Home, embedder: SentenceEmbedder, ranking: Ranking) -> Search:
    """This project's search."""
    store = IndexStore(home.database, home.workspace.index, embedder)
    retriever = HybridRetriever(home.database, store, embedder, ranking)

    def search(question: str) -> list[Hit]:
        found = retriever.search(question, limit=DEEP, reader=OPERATOR)
        return [(passage.document, passage.text) for passage in found]

    return search


def tutorial(handbook: Path, model: SentenceTransformer) -> tuple[Search, int, float]:
    """The peer: its search, its number of chunks, the seconds it took to split and embed."""
    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200)
    started = time.monotonic()
    chunks: list[Hit] = []
    for source in discover([handbook], handbook / ".none"):
        if isinstance(source, Source) and media_type_of(source.path):
            chunks += [(source.path, text) for text in splitter.split_text(_text_of(source))]
    vectors = model.encode([text for _, text in chunks], normalize_embeddings=True)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    seconds = time.monotonic() - started

    def search(question: str) -> list[Hit]:
        _, found = index.search(model.encode([question], normalize_embeddings=True), DEEP)
        return [chunks[position] for position in found[0]]

    return search, len(chunks), seconds


def _text_of(source: Source) -> str:
    try:
        loaded = load_document(source.path, source.file.read_bytes())
    except DocumentError:
        return ""  # A file that we refuse has no text for the peer either.
    parts = []
    for section in loaded.sections:
        parts += [*section.path[-1:], section.text, *(row.text for row in section.rows)]
    return "\n\n".join([loaded.title, *parts])


def _texts(home: Home) -> list[str]:
    with home.database.session() as session:
        rows = session.execute(
            select(DocumentRow.title, ChunkRow.location, ChunkRow.text).join(
                DocumentRow, DocumentRow.id == ChunkRow.document_id
            )
        )
        return [indexed_text(*row) for row in rows]


def _timed(action: Callable[[], Any]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


def measure(arguments: argparse.Namespace, workspace: Path) -> dict[str, Any]:
    """Ingest, search, compare."""
    home = open_home(workspace=workspace)
    retrieval = open_retrieval(home)
    embedder = open_embedder(home.settings)
    assert isinstance(embedder, SentenceEmbedder)
    embedder.embed(["warm"])
    report = open_retrieval(home, embedder).ingestor.ingest([arguments.handbook])
    print(f"ingest: {report.documents} documents, {report.chunks} chunks, "
          f"{len(report.failed)} left out, {report.seconds:.1f} s", file=sys.stderr)  # fmt: skip
    sets = {file.stem: _rows(file, arguments.rows) for file in arguments.questions}
    searches = {f"Inhouse, {ranking}": ours(home, embedder, ranking) for ranking in Ranking}
    result: dict[str, Any] = {"ingest": report.as_json()}
    if not arguments.no_peer:
        model = SentenceTransformer(str(embedder.folder), device="cpu", local_files_only=True)
        peer, chunks, seconds = tutorial(arguments.handbook, model)
        searches["LangChain tutorial"] = peer
        sample = _texts(home)[:: max(1, report.chunks // 400)]
        plain = _timed(lambda: model.encode(sample))
        own = _timed(lambda: embedder.embed(sample))
        result["peer"] = {
            "chunks": chunks,
            "seconds": round(seconds, 1),
            "ingest_ratio": round(report.seconds / seconds, 2),
            "embedding_ratio": round(own / plain, 2),
        }
    result["scores"] = {
        name: {
            kind: asdict(score(rows, search, retrieval.embedder.count_tokens))
            for kind, rows in sets.items()
        }
        for name, search in searches.items()
    }
    home.database.close()
    return result


def _rows(file: Path, limit: int) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    return [row for row in rows if row.get("evidence_quote")][: limit or None]


def show(result: dict[str, Any]) -> str:
    """The table."""
    lines = [
        f"{'':24}{'questions':<18}{'n':>5}{'quote@5':>9}{'file@5':>8}"
        f"{f'quote@{BUDGET_TOKENS}tok':>14}{'tokens@5':>10}"
    ]
    for name, kinds in result["scores"].items():
        for kind, values in kinds.items():
            lines.append(
                f"{name:24}{kind:<18}{values['questions']:>5}{values['quote_top5']:>9.3f}"
                f"{values['file_top5']:>8.3f}{values['quote_budget']:>14.3f}"
                f"{values['tokens_top5']:>10.0f}"
            )
    ingest = result["ingest"]
    lines.append(
        f"Ingest: {ingest['documents']} documents, {ingest['chunks']} chunks, "
        f"{len(ingest['failed'])} left out with the reason, {ingest['seconds']:.1f} s."
    )
    if "peer" in result:
        peer = result["peer"]
        lines.append(
            f"Peer: {peer['chunks']} chunks, {peer['seconds']:.1f} s. Our ingest takes "
            f"{peer['ingest_ratio']:.2f} of its time; embedding the same texts "
            f"{peer['embedding_ratio']:.2f} of sentence-transformers' defaults."
        )
    return "\n".join(lines)


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--handbook", type=Path, default=HANDBOOK)
    parser.add_argument(
        "--questions",
        type=Path,
        nargs="+",
        default=[QUESTIONS / f"heldout_{kind}.jsonl" for kind in ("seen", "unseen")],
    )
    parser.add_argument("--rows", type=int, default=0, help="questions per file; 0: all")
    parser.add_argument("--no-peer", action="store_true", help="leave the tutorial pipeline out")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if not all_there(arguments.handbook, *arguments.questions):
        return 2
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, Path(folder) / "workspace")
    print(json.dumps(result) if arguments.json else show(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
