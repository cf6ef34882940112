"""Claim: evidence sentences beat whole chunks, and a small model answers from them.

Peer, in the same run: the product's own fused search handing on whole chunks. Three parts:

* evidence: share of questions whose evidence quote is inside at most 350 tokens of prompt
* oracle:   the reader with the right passage and two wrong ones of our own index
* answers:  end to end, plain / + finder / + reader / + both, with refusals and citations

    python benchmarks/grounding.py --workspace DIR [--parts evidence oracle answers] [--rows N]

The workspace keeps the index between runs. Questions are only measured on, never trained on.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from assistant.engines.base import Sampling  # noqa: E402
from assistant.engines.source import locate_model  # noqa: E402
from assistant.modes import Message  # noqa: E402
from assistant.prompts import heading, is_refusal, render  # noqa: E402
from assistant.reader import builtin_reader  # noqa: E402
from assistant.service import open_model  # noqa: E402
from core.home import Home, open_home  # noqa: E402
from core.permissions import OPERATOR  # noqa: E402
from core.progress import Silent  # noqa: E402
from eval.metrics import is_right  # noqa: E402
from retrieval.evidence import CANDIDATES, EvidenceFinder  # noqa: E402
from retrieval.evidence_service import BUILTIN, open_finder  # noqa: E402
from retrieval.evidence_words import CALIBRATION, WordScorer  # noqa: E402
from retrieval.passages import Passage  # noqa: E402
from retrieval.service import Retrieval, open_retrieval  # noqa: E402
from training.evidence_data import fold  # noqa: E402
from training.tokenizer import ChatTokenizer  # noqa: E402

SHARED = ROOT.parent / "shared"
KINDS = ("seen", "unseen", "unanswerable")
BUDGET = 350
"""Tokens of the language model, numbers and headings included."""
PASSAGES = 4
BATCH = 16

Choose = Callable[[str, list[Passage]], list[Passage]]


@dataclass(frozen=True)
class Bench:
    """Everything that is measured with."""

    home: Home
    retrieval: Retrieval
    tokens: ChatTokenizer
    rows: list[dict[str, Any]]
    finders: dict[str, EvidenceFinder]


def evidence_tokens(bench: Bench, question: str, passages: Sequence[Passage]) -> int:
    """Tokens that the passages add to a prompt."""
    bare = bench.tokens.count_tokens(render(question, []))
    return bench.tokens.count_tokens(render(question, passages)) - bare


def within_budget(bench: Bench, question: str, passages: Sequence[Passage]) -> list[Passage]:
    """Leading passages of at most `BUDGET` tokens."""
    kept: list[Passage] = []
    for passage in passages:
        if evidence_tokens(bench, question, [*kept, passage]) > BUDGET:
            break
        kept.append(passage)
    return kept


def holds(passage: Passage, row: dict[str, Any]) -> bool:
    """Tell whether the evidence quote stands in a passage, both without markup."""
    quote = fold(row["evidence_quote"])
    return bool(quote) and _letters(quote) in _letters(fold(passage.text))


def _letters(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum() or letter in "$%")


def choosers(bench: Bench) -> dict[str, Choose]:
    """Ways to choose what the prompt holds, by name."""

    def whole(question: str, found: list[Passage]) -> list[Passage]:
        return found[:PASSAGES]

    def by(finder: EvidenceFinder) -> Choose:
        def choose(question: str, found: list[Passage]) -> list[Passage]:
            tokens = bench.home.settings.finder_tokens
            chosen = finder.select(question, found, limit=PASSAGES, tokens=tokens)
            return [evidence.passage for evidence in chosen]

        return choose

    return {"fused chunks": whole, **{name: by(f) for name, f in bench.finders.items()}}


def measure_evidence(bench: Bench) -> dict[str, Any]:
    """Share of quotes inside the budget, tokens used, seconds a question, best scores."""
    results: dict[str, Any] = {}
    found = {
        row["id"]: bench.retrieval.retriever.search(
            row["question"], limit=CANDIDATES, reader=OPERATOR
        )
        for row in bench.rows
    }
    for name, choose in choosers(bench).items():
        result: dict[str, Any] = {kind: [] for kind in KINDS}
        scores, used, seconds = [], [], []
        for row in bench.rows:
            started = time.monotonic()
            chosen = choose(row["question"], found[row["id"]])
            seconds.append(time.monotonic() - started)
            kept = within_budget(bench, row["question"], chosen)
            used.append(evidence_tokens(bench, row["question"], kept))
            scores.append((max((p.score for p in chosen), default=0.0), row["kind"]))
            result[row["kind"]].append(any(holds(passage, row) for passage in kept))
        results[name] = {
            **{kind: _share(result[kind]) for kind in KINDS[:2]},
            "tokens": round(sum(used) / len(used)),
            "milliseconds": round(1000 * sorted(seconds)[len(seconds) // 2], 1),
            "risk_coverage": risk_coverage(scores),
        }
    ceiling = [any(holds(p, row) for p in found[row["id"]]) for row in bench.rows if _has(row)]
    results["ceiling of the search"] = {"all": _share(ceiling)}
    return results


def risk_coverage(scores: Sequence[tuple[float, str]]) -> list[dict[str, float]]:
    """Answerable questions still answered, unanswerable ones refused, by threshold."""
    curve = []
    for threshold in (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        answerable = [score >= threshold for score, kind in scores if kind != "unanswerable"]
        refused = [score < threshold for score, kind in scores if kind == "unanswerable"]
        curve.append(
            {"threshold": threshold, "coverage": _share(answerable), "refused": _share(refused)}
        )
    return curve


def measure_oracle(bench: Bench, adapters: dict[str, Any]) -> dict[str, Any]:
    """The right passage and two wrong ones, in random order; unanswerable: three wrong ones."""
    chance = random.Random(0)
    prompts: list[tuple[dict[str, Any], list[Passage]]] = []
    for row in bench.rows:
        found = bench.retrieval.retriever.search(row["question"], limit=CANDIDATES, reader=OPERATOR)
        right = [passage for passage in found if holds(passage, row)][:1]
        if _has(row) and not right:
            continue
        shown = right + [p for p in found if not holds(p, row)][: 3 - len(right)]
        finder = next(reversed(bench.finders.values()))
        tokens = bench.home.settings.finder_tokens
        chosen = finder.select(row["question"], shown, limit=3, tokens=tokens)
        passages = [evidence.passage for evidence in chosen]
        chance.shuffle(passages)
        prompts.append((row, passages))
    return {name: _read(bench, prompts, adapter) for name, adapter in adapters.items()}


def measure_answers(bench: Bench, adapters: dict[str, Any]) -> dict[str, Any]:
    """End to end: search, choose, read."""
    results = {}
    ways = choosers(bench)
    ways = {"plain": ways.pop("fused chunks"), "finder": list(ways.values())[-1]}
    for way, choose in ways.items():
        prompts = []
        for row in bench.rows:
            found = bench.retrieval.retriever.search(
                row["question"], limit=CANDIDATES, reader=OPERATOR
            )
            prompts.append((row, choose(row["question"], found)))
        for name, adapter in adapters.items():
            results[f"{way} + {name}"] = _read(bench, prompts, adapter)
    return results


def _read(
    bench: Bench, prompts: Sequence[tuple[dict[str, Any], list[Passage]]], adapter: Any
) -> dict[str, Any]:
    """Answer all prompts and grade."""
    model = open_model(bench.home)
    sampling = Sampling(96)
    graded: dict[str, list[bool]] = {"seen": [], "unseen": [], "refused": [], "false": []}
    cited, failures = [], []
    started = time.monotonic()
    for start in range(0, len(prompts), BATCH):
        part = prompts[start : start + BATCH]
        messages: list[Sequence[Message]] = [render(row["question"], kept) for row, kept in part]
        for (row, kept), answer in zip(
            part, model.generate_batch(messages, adapter=adapter, sampling=sampling), strict=True
        ):
            refused = is_refusal(answer.text)
            if not _has(row):
                graded["refused"].append(refused)
                continue
            right = not refused and is_right(answer.text, row["short_answers"])
            graded[row["kind"]].append(right)
            graded["false"].append(refused)
            if right:
                numbers = [n for n in range(1, len(kept) + 1) if f"[{n}]" in answer.text]
                cited.append(any(holds(kept[n - 1], row) for n in numbers))
            else:
                failures.append(_failure(row, kept, answer.text))
    return {
        **{name: _share(values) for name, values in graded.items()},
        "right_citation": _share(cited),
        "seconds": round(time.monotonic() - started),
        "failures": failures[:50],
    }


def _failure(row: dict[str, Any], kept: Sequence[Passage], text: str) -> dict[str, Any]:
    return {
        "question": row["question"],
        "wanted": row["short_answers"],
        "answer": text,
        "evidence_shown": any(holds(passage, row) for passage in kept),
        "headings": [heading(passage) for passage in kept],
    }


def _has(row: dict[str, Any]) -> bool:
    return str(row["kind"]) != "unanswerable"


def _share(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 3) if values else 0.0


def prepare(arguments: argparse.Namespace) -> Bench:
    """Open the workspace, ingest the handbook if that was not done, read the questions."""
    home = open_home(workspace=arguments.workspace)
    retrieval = open_retrieval(home)
    if not retrieval.library.count(OPERATOR):
        retrieval.ingestor.ingest([arguments.handbook], progress=Silent())
    rows = []
    for kind in KINDS:
        path = arguments.questions / f"heldout_{kind}.jsonl"
        lines = path.read_text("utf-8").splitlines()[: arguments.rows or None]
        rows += [{**json.loads(line), "kind": kind} for line in lines]
    for row in rows:
        row.setdefault("evidence_quote", "")
    embedder = retrieval.embedder
    finders = {"words": EvidenceFinder(WordScorer(), embedder.count_tokens, CALIBRATION)}
    if BUILTIN.is_dir():
        finders["trained finder"] = open_finder(embedder)
    tokens = ChatTokenizer(locate_model(home.settings, home.workspace))
    return Bench(home, retrieval, tokens, rows, finders)


def main() -> int:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--handbook", type=Path, default=SHARED / "handbooks" / "18f-handbook")
    parser.add_argument("--questions", type=Path, default=SHARED / "qa" / "18f")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=0, help="questions per file; 0: all")
    parser.add_argument(
        "--parts", nargs="+", choices=["evidence", "oracle", "answers"], default=["evidence"]
    )
    arguments = parser.parse_args()
    for path in (arguments.handbook, arguments.questions):
        if not path.exists():
            print(f"Not measured: '{path}' is missing. Name another with --handbook and "
                  "--questions.", file=sys.stderr)  # fmt: skip
            return 2
    bench = prepare(arguments)
    source = locate_model(bench.home.settings, bench.home.workspace)
    reader = builtin_reader(source.hash)
    adapters: dict[str, Any] = {"plain model": None}
    if reader is not None:
        adapters["reader"] = reader.ref
    parts: dict[str, Callable[[], Any]] = {
        "evidence": lambda: measure_evidence(bench),
        "oracle": lambda: measure_oracle(bench, adapters),
        "answers": lambda: measure_answers(bench, adapters),
    }
    print(json.dumps({part: parts[part]() for part in arguments.parts}, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
