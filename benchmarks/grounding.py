"""Claim: evidence sentences beat whole chunks, and a small model answers from them.

Peer, in the same run: the product's own fused search handing on whole chunks. Four parts:

* evidence: share of questions whose evidence quote is inside at most 350 tokens of prompt
* oracle:   the reader with the right passage and two wrong ones of our own index
* quotes:   without a language model, the best sentences quoted: end to end, and as oracle
* answers:  end to end, plain / + finder / + reader / + both, with refusals and citations

    python benchmarks/grounding.py --workspace DIR [--parts PART...] [--rows N]

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
from assistant.manifest import AdapterInfo  # noqa: E402
from assistant.modes import Message  # noqa: E402
from assistant.prompts import render  # noqa: E402
from assistant.quoting import quoted_answer  # noqa: E402
from assistant.reader import builtin_reader  # noqa: E402
from assistant.service import open_model  # noqa: E402
from benchmarks.graded import THRESHOLDS, Said, has, holds, share, spread, summary  # noqa: E402
from benchmarks.shared_data import HANDBOOK, KINDS, QUESTIONS, all_there  # noqa: E402
from core.home import Home, open_home  # noqa: E402
from core.permissions import OPERATOR  # noqa: E402
from core.progress import Silent  # noqa: E402
from retrieval.evidence import CANDIDATES, EvidenceFinder  # noqa: E402
from retrieval.evidence_service import BUILTIN, open_finder  # noqa: E402
from retrieval.evidence_words import CALIBRATION, WordScorer  # noqa: E402
from retrieval.passages import Passage  # noqa: E402
from retrieval.service import Retrieval, open_retrieval  # noqa: E402
from training.tokenizer import ChatTokenizer  # noqa: E402

BUDGET = 350
"""Tokens of the language model, numbers and headings included."""
BATCH = 48

Choose = Callable[[str, list[Passage]], list[Passage]]
Adapters = dict[str, AdapterInfo | None]


@dataclass(frozen=True)
class Bench:
    """Everything that is measured with."""

    home: Home
    retrieval: Retrieval
    tokens: ChatTokenizer
    rows: list[dict[str, Any]]
    finders: dict[str, EvidenceFinder]
    candidates: int = CANDIDATES
    """Chunks of the search that are chosen from."""

    @property
    def best_finder(self) -> EvidenceFinder:
        """The trained one, where it is installed."""
        return next(reversed(self.finders.values()))


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


def choosers(bench: Bench) -> dict[str, Choose]:
    """Ways to choose what the prompt holds, by name."""

    def whole(question: str, found: list[Passage]) -> list[Passage]:
        return found[: bench.home.settings.passages]

    def by(finder: EvidenceFinder) -> Choose:
        def choose(question: str, found: list[Passage]) -> list[Passage]:
            settings = bench.home.settings
            chosen = finder.select(
                question, found, limit=settings.passages, tokens=settings.finder_tokens
            )
            return [evidence.passage for evidence in chosen]

        return choose

    return {"fused chunks": whole, **{name: by(f) for name, f in bench.finders.items()}}


def measure_evidence(bench: Bench) -> dict[str, Any]:
    """Share of quotes inside the budget, tokens used, seconds a question, best scores."""
    results: dict[str, Any] = {}
    found = {
        row["id"]: bench.retrieval.retriever.search(
            row["question"], limit=bench.candidates, reader=OPERATOR
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
            **{kind: share(result[kind]) for kind in KINDS[:2]},
            "tokens": round(sum(used) / len(used)),
            "milliseconds": round(1000 * sorted(seconds)[len(seconds) // 2], 1),
            "risk_coverage": risk_coverage(scores),
        }
    ceiling = [any(holds(p, row) for p in found[row["id"]]) for row in bench.rows if has(row)]
    results["ceiling of the search"] = {"all": share(ceiling)}
    return results


def risk_coverage(scores: Sequence[tuple[float, str]]) -> list[dict[str, float]]:
    """Answerable questions still answered, unanswerable ones refused, by threshold."""
    curve = []
    for threshold in THRESHOLDS:
        answerable = [score >= threshold for score, kind in scores if kind != "unanswerable"]
        refused = [score < threshold for score, kind in scores if kind == "unanswerable"]
        curve.append(
            {"threshold": threshold, "coverage": share(answerable), "refused": share(refused)}
        )
    return curve


def with_right_passage(bench: Bench) -> list[tuple[dict[str, Any], list[Passage]]]:
    """The right passage and two wrong ones, in random order; unanswerable: three wrong ones."""
    chance = random.Random(0)
    prompts: list[tuple[dict[str, Any], list[Passage]]] = []
    for row in bench.rows:
        found = bench.retrieval.retriever.search(
            row["question"], limit=bench.candidates, reader=OPERATOR
        )
        right = [passage for passage in found if holds(passage, row)][:1]
        if has(row) and not right:
            continue
        shown = right + [p for p in found if not holds(p, row)][: 3 - len(right)]
        tokens = bench.home.settings.finder_tokens
        chosen = bench.best_finder.select(row["question"], shown, limit=3, tokens=tokens)
        passages = [evidence.passage for evidence in chosen]
        chance.shuffle(passages)
        prompts.append((row, passages))
    return prompts


def measure_oracle(bench: Bench, adapters: Adapters) -> dict[str, Any]:
    """A language model with the right passage given."""
    given, finder = with_right_passage(bench), bench.best_finder
    return {name: _read(bench, given, adapter, finder) for name, adapter in adapters.items()}


def measure_answers(bench: Bench, adapters: Adapters, wanted: Sequence[str]) -> dict[str, Any]:
    """End to end: search, choose, read."""
    results = {}
    ways = choosers(bench)
    ways = {"plain": ways.pop("fused chunks"), "finder": list(ways.values())[-1]}
    for way, choose in ways.items():
        if way not in wanted:
            continue
        prompts = []
        for row in bench.rows:
            found = bench.retrieval.retriever.search(
                row["question"], limit=bench.candidates, reader=OPERATOR
            )
            prompts.append((row, choose(row["question"], found)))
        for name, adapter in adapters.items():
            finder = bench.best_finder if way == "finder" else None
            results[f"{way} + {name}"] = _read(bench, prompts, adapter, finder)
    return results


def measure_quotes(bench: Bench) -> dict[str, Any]:
    """Without a language model: the best sentences of what is chosen, or given as the oracle."""
    results: dict[str, Any] = {}
    for name, finder in bench.finders.items():
        choose = choosers(bench)[name]
        said, started = [], time.monotonic()
        for row in bench.rows:
            question = row["question"]
            found = bench.retrieval.retriever.search(
                question, limit=bench.candidates, reader=OPERATOR
            )
            kept = choose(question, found)
            said.append(Said(row, kept, quoted_answer(question, kept, finder)))
        results[name] = summary(said, finder.threshold) | {
            "seconds": round(time.monotonic() - started)
        }
    finder = bench.best_finder
    given = with_right_passage(bench)
    said = [Said(row, kept, quoted_answer(row["question"], kept, finder)) for row, kept in given]
    return {**results, "right passage given": summary(said, finder.threshold)}


def _read(
    bench: Bench,
    prompts: Sequence[tuple[dict[str, Any], list[Passage]]],
    adapter: AdapterInfo | None,
    finder: EvidenceFinder | None,
) -> dict[str, Any]:
    """Answer all prompts; grade them as said, and with the finder's refusals before the model's."""
    model = open_model(bench.home)
    # The cosine of a whole chunk is no chance: without a finder nothing is refused by it.
    threshold = finder.threshold if finder else 0.0
    quoting = finder if adapter and adapter.reads_quotations else None
    sampling = Sampling(96)
    said: list[Said] = []
    started = time.monotonic()
    for start in range(0, len(prompts), BATCH):
        part = prompts[start : start + BATCH]
        messages = [_prompt(row["question"], kept, quoting) for row, kept in part]
        ref = adapter.ref if adapter else None
        answers = model.generate_batch(messages, adapter=ref, sampling=sampling)
        said += [
            Said(row, kept, answer.text) for (row, kept), answer in zip(part, answers, strict=True)
        ]
    return summary(said, threshold) | {"seconds": round(time.monotonic() - started)}


def _prompt(
    question: str, kept: Sequence[Passage], quoting: EvidenceFinder | None
) -> Sequence[Message]:
    """As it is served; `quoting` names the best sentences to a reader of them."""
    best = quoted_answer(question, kept, quoting) if quoting and kept else ""
    return render(question, kept, best=best)


def prepare(arguments: argparse.Namespace) -> Bench:
    """Open the workspace, ingest the handbook if that was not done, read the questions."""
    # The search itself; what chooses from its chunks is compared here.
    home = open_home(workspace=arguments.workspace, evidence_finder="off")
    retrieval = open_retrieval(home)
    if not retrieval.library.count(OPERATOR):
        retrieval.ingestor.ingest([arguments.handbook], progress=Silent())
    rows = []
    for kind in KINDS:
        path = arguments.questions / f"heldout_{kind}.jsonl"
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        # Evenly spaced: neighbours ask about the same page.
        few = spread(lines, arguments.rows or len(lines))
        rows += [{"evidence_quote": "", **row, "kind": kind} for row in few]
    embedder = retrieval.embedder
    finders = {"words": EvidenceFinder(WordScorer(), embedder.count_tokens, CALIBRATION)}
    if BUILTIN.is_dir():
        finders["trained finder"] = open_finder(embedder)
    tokens = ChatTokenizer(locate_model(home.settings, home.workspace))
    return Bench(home, retrieval, tokens, rows, finders, arguments.candidates)


def main() -> int:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--handbook", type=Path, default=HANDBOOK)
    parser.add_argument("--questions", type=Path, default=QUESTIONS)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=0, help="questions per file; 0: all")
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help="chunks to choose from")
    parser.add_argument(
        "--parts", nargs="+", choices=["evidence", "oracle", "quotes", "answers"],
        default=["evidence"],
    )  # fmt: skip
    parser.add_argument(
        "--ways", nargs="+", choices=["plain", "finder"], default=["plain", "finder"]
    )
    arguments = parser.parse_args()
    if not all_there(arguments.handbook, arguments.questions):
        return 2
    bench = prepare(arguments)
    source = locate_model(bench.home.settings, bench.home.workspace)
    reader = builtin_reader(source.hash)
    adapters: Adapters = {"plain model": None}
    if reader is not None:
        adapters["reader"] = reader
    parts: dict[str, Callable[[], Any]] = {
        "evidence": lambda: measure_evidence(bench),
        "oracle": lambda: measure_oracle(bench, adapters),
        "quotes": lambda: measure_quotes(bench),
        "answers": lambda: measure_answers(bench, adapters, arguments.ways),
    }
    print(json.dumps({part: parts[part]() for part in arguments.parts}, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
