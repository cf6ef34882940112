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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from assistant.engines.base import Sampling  # noqa: E402
from assistant.engines.source import locate_model  # noqa: E402
from assistant.modes import Message  # noqa: E402
from assistant.prompts import REFUSAL, heading, is_refusal, render  # noqa: E402
from assistant.quoting import quoted_answer  # noqa: E402
from assistant.reader import builtin_reader  # noqa: E402
from assistant.service import open_model  # noqa: E402
from benchmarks.shared_data import HANDBOOK, KINDS, QUESTIONS, all_there  # noqa: E402
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

BUDGET = 350
"""Tokens of the language model, numbers and headings included."""
PASSAGES = 4
BATCH = 48
FAILURES = 50
THRESHOLDS = (0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8)

Choose = Callable[[str, list[Passage]], list[Passage]]


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


@dataclass(frozen=True)
class Said:
    """An answer beside what it was made from."""

    row: dict[str, Any]
    kept: Sequence[Passage]
    text: str

    @property
    def refused(self) -> bool:
        """Whether it says that it does not know."""
        return is_refusal(self.text)

    @property
    def right(self) -> bool:
        """Whether a short answer stands in it."""
        return not self.refused and is_right(self.text, self.row["short_answers"])

    @property
    def wrong(self) -> bool:
        """Whether an answerable question was not answered rightly."""
        return _has(self.row) and not self.right

    @property
    def rightly_cited(self) -> bool:
        """Whether a passage that it cites holds the evidence."""
        numbers = [n for n in range(1, len(self.kept) + 1) if f"[{n}]" in self.text]
        return any(holds(self.kept[n - 1], self.row) for n in numbers)

    def refused_below(self, threshold: float) -> "Said":
        """The same, refused if no passage's chance reaches `threshold`."""
        chance = max((passage.score for passage in self.kept), default=0.0)
        return replace(self, text=REFUSAL) if chance < threshold else self


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
    for threshold in THRESHOLDS:
        answerable = [score >= threshold for score, kind in scores if kind != "unanswerable"]
        refused = [score < threshold for score, kind in scores if kind == "unanswerable"]
        curve.append(
            {"threshold": threshold, "coverage": _share(answerable), "refused": _share(refused)}
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
        if _has(row) and not right:
            continue
        shown = right + [p for p in found if not holds(p, row)][: 3 - len(right)]
        tokens = bench.home.settings.finder_tokens
        chosen = bench.best_finder.select(row["question"], shown, limit=3, tokens=tokens)
        passages = [evidence.passage for evidence in chosen]
        chance.shuffle(passages)
        prompts.append((row, passages))
    return prompts


def measure_oracle(bench: Bench, adapters: dict[str, Any]) -> dict[str, Any]:
    """A language model with the right passage given."""
    prompts, threshold = with_right_passage(bench), bench.best_finder.threshold
    return {name: _read(bench, prompts, adapter, threshold) for name, adapter in adapters.items()}


def measure_answers(
    bench: Bench, adapters: dict[str, Any], wanted: Sequence[str]
) -> dict[str, Any]:
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
            # The cosine of a whole chunk is no chance: nothing is refused by it.
            threshold = bench.best_finder.threshold if way == "finder" else 0.0
            results[f"{way} + {name}"] = _read(bench, prompts, adapter, threshold)
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
        results[name] = _summary(said, finder.threshold) | {
            "seconds": round(time.monotonic() - started)
        }
    finder = bench.best_finder
    given = with_right_passage(bench)
    said = [Said(row, kept, quoted_answer(row["question"], kept, finder)) for row, kept in given]
    return {**results, "right passage given": _summary(said, finder.threshold)}


def _read(
    bench: Bench,
    prompts: Sequence[tuple[dict[str, Any], list[Passage]]],
    adapter: Any,
    threshold: float,
) -> dict[str, Any]:
    """Answer all prompts; grade them as said, and with the finder's refusals before the model's."""
    model = open_model(bench.home)
    sampling = Sampling(96)
    said: list[Said] = []
    started = time.monotonic()
    for start in range(0, len(prompts), BATCH):
        part = prompts[start : start + BATCH]
        messages: list[Sequence[Message]] = [render(row["question"], kept) for row, kept in part]
        answers = model.generate_batch(messages, adapter=adapter, sampling=sampling)
        said += [
            Said(row, kept, answer.text) for (row, kept), answer in zip(part, answers, strict=True)
        ]
    return _summary(said, threshold) | {"seconds": round(time.monotonic() - started)}


def _summary(said: Sequence[Said], threshold: float) -> dict[str, Any]:
    return {
        **_graded(said),
        "refusing": [
            {"threshold": round(least, 3), **_graded([one.refused_below(least) for one in said])}
            for least in (threshold, *THRESHOLDS)
        ],
        "failures": _spread([_failure(one) for one in said if one.wrong], FAILURES),
    }


def _graded(said: Sequence[Said]) -> dict[str, Any]:
    """Shares of right answers by kind, of refusals, and of right answers rightly cited."""
    asked = [one for one in said if _has(one.row)]
    right = [one for one in asked if one.right]
    return {
        **{
            kind: _share([one.right for one in asked if one.row["kind"] == kind])
            for kind in KINDS[:2]
        },
        "refused": _share([one.refused for one in said if not _has(one.row)]),
        "false": _share([one.refused for one in asked]),
        "right_citation": _share([one.rightly_cited for one in right]),
        "questions": len(said),
    }


def _spread(items: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    step = max(1.0, len(items) / count)
    return [items[int(place * step)] for place in range(min(count, len(items)))]


def _failure(one: Said) -> dict[str, Any]:
    return {
        "question": one.row["question"],
        "wanted": one.row["short_answers"],
        "answer": one.text,
        "evidence_shown": any(holds(passage, one.row) for passage in one.kept),
        "headings": [heading(passage) for passage in one.kept],
    }


def _has(row: dict[str, Any]) -> bool:
    return str(row["kind"]) != "unanswerable"


def _share(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 3) if values else 0.0


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
        few = _spread(lines, arguments.rows or len(lines))
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
    adapters: dict[str, Any] = {"plain model": None}
    if reader is not None:
        adapters["reader"] = reader.ref
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
