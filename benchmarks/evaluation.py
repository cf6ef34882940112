"""A whole evaluation against the loop most people write: `transformers.generate`, one by one.

    python -m benchmarks.evaluation [--questions 96] [--peer-questions 8]

Both answer the sample company's held-out questions in the four modes, greedily, from the same
documents and weights, in the same run. The product's side is what `python -m eval run` does:
search, prompt, answer, check, commit. The peer searches with the product's own retriever, refuses
below the same threshold, builds the same prompt and calls `generate`, question by question and
mode by mode; its second ratio counts `generate` alone, as if search and prompts cost nothing.
Seconds are of the processor, because a clock on a machine with other work measures that work.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from assistant.answering import refusal_threshold
from assistant.citations import check
from assistant.engines.source import ModelSource, locate_model
from assistant.modes import AnswerMode
from assistant.prompts import REFUSAL, Prompt, PromptBuilder, render
from assistant.service import open_model
from assistant.shelf import Shelf
from core.database import now
from core.home import Home, open_home
from core.permissions import OPERATOR
from core.progress import Silent
from eval.allocation import keep_freed_memory
from eval.arms import MODES, Plan, parse_modes
from eval.question_sets import QuestionSets
from eval.questions import HeldOutQuestion, merge, spread
from eval.records import Records
from eval.runner import PreparedArm, Runner, prepare
from eval.subject import open_subject
from retrieval.passages import Passage
from retrieval.service import Retrieval, open_retrieval
from sample.load import ADAPTER, QUESTION_SETS, load_sample

HELD_OUT = [name for name, file in QUESTION_SETS.items() if file.startswith("heldout")]


@dataclass
class Side:
    """What one of the two said, and what it took."""

    texts: dict[str, str] = field(default_factory=dict)
    """Answer by question."""
    cpu_s: float = 0.0
    wall_s: float = 0.0
    writing_s: float = 0.0
    """Of the processor, within `generate` alone."""

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add what the block takes."""
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu_s += time.process_time() - cpu
        self.wall_s += time.perf_counter() - wall

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Add what the block takes to the time of `generate`."""
        cpu = time.process_time()
        yield
        self.writing_s += time.process_time() - cpu


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--workspace", type=Path, help="kept and used again (default: temporary)")
    parser.add_argument("--questions", type=int, default=96)
    parser.add_argument("--peer-questions", type=int, default=8, help="as many for the loop")
    parser.add_argument("--consecutive", action="store_true", help="not evenly spaced")
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--dtype", choices=["auto", "bf16", "fp16", "fp32"])
    given = parser.parse_args()
    # As the command and the job of an evaluation do; it serves both sides.
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as temporary:
        home = open_home(workspace=given.workspace or Path(temporary), dtype=given.dtype)
        with closing(home.database):
            modes = parse_modes(given.modes.split(","))
            questions = (given.questions, min(given.questions, given.peer_questions))
            compare(home, modes, questions, consecutive=given.consecutive)


def compare(
    home: Home, modes: Sequence[AnswerMode], counts: tuple[int, int], *, consecutive: bool
) -> None:
    """Let both sides answer, mode by mode, and print ratios.

    The loop's time for a question does not depend on their number, a batch's does: so the peer
    may answer fewer, evenly spaced.
    """
    count, peer_count = counts
    retrieval = open_retrieval(home)
    load_sample(home, retrieval, Shelf(home), QuestionSets(home), Silent())
    product = Product(home, retrieval, modes, held_out(home, count, consecutive=consecutive))
    peer = Peer(locate_model(home.settings, home.workspace), product)
    print(f"{product.engine.name}, {torch.get_num_threads()} threads, {count} questions")
    both: list[tuple[Side, Side]] = []
    for arm in product.arms:
        ours = product.answer(arm)
        few = [question.question for question in spread(product.questions, peer_count)]
        naive = peer.answer(arm, few)
        both.append((ours, naive))
        report(arm.arm.mode.value, [(ours, naive)])
    report("all", both)
    for arm, (ours, naive) in zip(product.arms, both, strict=True):
        for question, text in naive.texts.items():
            if ours.texts[question] != text:
                print(f"\n{arm.arm.mode.value}: {question}"
                      f"\n  evaluation: {ours.texts[question]}\n  peer:       {text}")  # fmt: skip


def held_out(home: Home, count: int, *, consecutive: bool) -> list[HeldOutQuestion]:
    """`count` of the sample's held-out questions, of all kinds unless consecutive."""
    stored = {known.name: known for known in QuestionSets(home).list()}
    questions = merge([stored[name].questions for name in HELD_OUT])
    return questions[:count] if consecutive else list(spread(questions, count))


class Product:
    """The evaluation as it is run, without scoring and report, which the peer does not make."""

    def __init__(
        self,
        home: Home,
        retrieval: Retrieval,
        modes: Sequence[AnswerMode],
        questions: Sequence[HeldOutQuestion],
    ) -> None:
        """Open the installation and load all it needs."""
        self.engine = open_model(home)
        self.adapter = Shelf(home).get(ADAPTER).ref
        self.questions = questions
        self._retrieval = retrieval
        self._passages = home.settings.passages
        self._threshold = refusal_threshold(home.settings, retrieval.retriever)
        self._builder = PromptBuilder(
            self.engine, home.settings.evidence_tokens, home.settings.answer_tokens
        )
        self.max_tokens = home.settings.answer_tokens
        self._records = Records(home.database)
        subject = open_subject(home, retrieval)
        # A number of its own: answers of an earlier run in this workspace must not be taken.
        self._plan = Plan(tuple(modes), (ADAPTER,), latency_sample=0, repeat=time.time_ns())
        self.arms = prepare(self._plan, questions, lambda _model: subject)
        self._runner = Runner(self._records, lambda _model: subject, Silent(), now())
        warm_up = [HeldOutQuestion("", "", "Who are you?", "", ("",), questions[0].kind)]
        self._runner.run(self._plan, warm_up, prepare(self._plan, warm_up, lambda _model: subject))

    def answer(self, arm: PreparedArm) -> Side:
        """Answer every question in one mode, committed to the database."""
        side = Side()
        with side.timed():
            self._runner.run(self._plan, self.questions, [arm])
        stored = self._records.answers(arm.hash, arm.question_hashes)
        for question, own in zip(self.questions, arm.question_hashes, strict=True):
            answer = stored[own].answer
            side.texts[question.question] = answer["text"] if answer else stored[own].error
        return side

    def prompt(self, mode: AnswerMode, question: str) -> Prompt | None:
        """The prompt of `answer`, made the same way; None: no passage is good enough."""
        found = None
        if mode.uses_retrieval:
            found = self._retrieval.retriever.search(
                question, limit=self._passages, reader=OPERATOR
            )
            if max((passage.score for passage in found), default=-1.0) < self._threshold:
                return None
        return self._builder.build(question, found)


class Peer:
    """`generate` for one question after another, the adapter through peft."""

    def __init__(self, source: ModelSource, product: Product) -> None:
        """Load the model once plain and once under the adapter."""
        name = product.engine.name
        self._product = product
        dtype = torch.float32 if "float32" in name else torch.bfloat16
        self._max_tokens = product.max_tokens
        self._tokenizer = AutoTokenizer.from_pretrained(str(source.folder))
        plain, under = (
            AutoModelForCausalLM.from_pretrained(str(source.folder), dtype=dtype) for _ in range(2)
        )
        # Without the flag peft keeps the adapter in float32 over a bfloat16 model: slower, and
        # other roundings than those of the side it is compared with.
        tuned = PeftModel.from_pretrained(
            under, str(product.adapter.path), autocast_adapter_dtype=False
        )
        self._models: Mapping[bool, Any] = {False: plain.eval(), True: tuned.eval()}
        for uses_adapter in self._models:
            self._generate(uses_adapter, Prompt(render("Who are you?", None), ()))

    def answer(self, arm: PreparedArm, questions: Sequence[str]) -> Side:
        """Answer one after another; citations are checked outside of the time."""
        side = Side()
        for question in questions:
            text, passages = REFUSAL, tuple[Passage, ...]()
            with side.timed():
                prompt = self._product.prompt(arm.arm.mode, question)
                if prompt is not None:
                    passages = prompt.passages
                    with side.writing():
                        text = self._generate(arm.arm.mode.uses_adapter, prompt)
            side.texts[question] = check(text, passages, question).text
        return side

    def _generate(self, uses_adapter: bool, prompt: Prompt) -> str:
        turns = [{"role": m.role, "content": m.content} for m in prompt.messages]
        inputs = self._tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            output = self._models[uses_adapter].generate(
                **inputs, max_new_tokens=self._max_tokens, do_sample=False
            )
        text: str = self._tokenizer.decode(
            output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        return text


def report(name: str, both: Sequence[tuple[Side, Side]]) -> None:
    """Print questions a second of processor time, their ratio, and how many answers are equal."""
    sides = [[pair[side] for pair in both] for side in (0, 1)]
    ours_n, naive_n = (sum(len(one.texts) for one in side) for side in sides)
    ours_s, naive_s = (sum(one.cpu_s for one in side) for side in sides)
    ours_wall, naive_wall = (sum(one.wall_s for one in side) for side in sides)
    ours_s, ours_wall = ours_s / ours_n, ours_wall / ours_n
    naive_s, naive_wall = naive_s / naive_n, naive_wall / naive_n
    writing_s = sum(one.writing_s for one in sides[1]) / naive_n
    same = sum(ours.texts[q] == text for ours, naive in both for q, text in naive.texts.items())
    print(
        f"{name:10} evaluation {1 / ours_s:6.2f} questions/s, one by one {1 / naive_s:6.2f} "
        f"= {naive_s / ours_s:4.1f}x (generate alone: {writing_s / ours_s:4.1f}x; "
        f"clock: {naive_wall / ours_wall:4.1f}x); "
        f"identical {same} of {naive_n}",
        flush=True,
    )


if __name__ == "__main__":
    main()
