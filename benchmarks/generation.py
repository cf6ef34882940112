"""Streams and batches against `transformers.generate`, the loop most people write.

    python -m benchmarks.generation --workspace DIR [--dtype fp32] [--questions 24]

Prints ratios against the peer in the same run: absolute figures move with the machine's load.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from assistant.engines.base import Sampling, never
from assistant.engines.source import locate_model
from assistant.engines.transformers_engine import TransformersModel
from assistant.modes import Message
from assistant.prompts import render
from core.home import open_home
from retrieval.passages import Passage

SUBJECTS = (
    "leave", "laptops", "expenses", "travel", "parental leave", "passwords", "remote work",
    "meetings", "hiring", "training", "insurance", "pensions", "holidays", "overtime", "security",
    "code review", "contracts", "invoices", "printers", "parking", "mentoring", "feedback",
    "onboarding", "open source",
)  # fmt: skip
WORDINGS = ("What are the rules for {}?", "Whom do I ask about {}?", "When was {} changed?")
Prompt = Sequence[Message]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--dtype", choices=["auto", "bf16", "fp16", "fp32"])
    parser.add_argument("--questions", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=32)
    arguments = parser.parse_args()
    home = open_home(workspace=arguments.workspace, dtype=arguments.dtype)
    model = TransformersModel(locate_model(home.settings, home.workspace), home.settings)
    sampling = Sampling(arguments.tokens)
    peer = Peer(model)
    print(f"{model.name}, {torch.get_num_threads()} threads")
    for kind, prompts in (
        ("closed", closed_prompts(arguments.questions)),
        ("grounded", grounded_prompts(max(1, arguments.questions // 3))),
    ):
        compare(model, peer, kind, prompts, sampling)
    first_token(model, sampling)


def closed_prompts(count: int) -> list[Prompt]:
    """Prompts without passages, of about 60 tokens."""
    questions = [wording.format(subject) for wording in WORDINGS for subject in SUBJECTS]
    prompts: list[Prompt] = [render(question, None) for question in questions[:count]]
    return prompts


def grounded_prompts(count: int) -> list[Prompt]:
    """Prompts with four passages, of about 700 tokens."""
    prompts: list[Prompt] = []
    for number, subject in enumerate(SUBJECTS[:count]):
        passages = [
            Passage(n, n, "a.md", f"Policy {n}", subject, passage_text(subject, n + number), 0.5)
            for n in range(4)
        ]
        prompts.append(render(f"What are the rules for {subject}?", passages))
    return prompts


def passage_text(subject: str, seed: int) -> str:
    """About 150 tokens that differ with `seed`."""
    parts = [
        f"Rule {seed + n}: whoever needs {subject} asks desk {seed * 7 + n} before day {n + 3}."
        for n in range(7)
    ]
    return " ".join(parts)


class Peer:
    """`generate` for one question after another, on the same weights."""

    def __init__(self, model: TransformersModel) -> None:
        """Load them once more, as the library does."""
        self._engine = model
        self._model = AutoModelForCausalLM.from_pretrained(
            str(model.source.folder), dtype=model._model.dtype
        ).eval()

    def answer(self, prompt: Prompt, sampling: Sampling) -> str:
        """Answer one question."""
        ids = torch.tensor([self._engine._encode(prompt)])
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=sampling.max_tokens,
                do_sample=False,
            )
        text: str = self._engine._tokenizer.decode(
            output[0, ids.shape[1] :], skip_special_tokens=True
        )
        return text


def compare(
    model: TransformersModel, peer: Peer, kind: str, prompts: Sequence[Prompt], sampling: Sampling
) -> None:
    """Print questions a second of processor time: the naive loop, streams, a batch."""
    naive, naive_s = timed(lambda: [peer.answer(p, sampling) for p in prompts])
    alone, alone_s = timed(
        lambda: ["".join(model.stream(p, adapter=None, sampling=sampling)) for p in prompts]
    )
    batch, batch_s = timed(lambda: model.generate_batch(prompts, adapter=None, sampling=sampling))
    count = len(prompts)
    written = sum(one.answer_tokens for one in batch)
    length = statistics.mean(one.prompt_tokens for one in batch)
    same = sum(one.text == text for one, text in zip(batch, alone, strict=True))
    stock = sum(one == text for one, text in zip(naive, alone, strict=True))
    print(
        f"{kind}: {count} questions, prompts of {length:.0f} tokens, answers of "
        f"{written / count:.0f}"
        f"\n  transformers.generate, one by one  {count / naive_s:6.2f} questions/s"
        f"\n  stream, one by one                 {count / alone_s:6.2f}  = {naive_s / alone_s:.1f}x"
        f"\n  generate_batch                     {count / batch_s:6.2f}  = {naive_s / batch_s:.1f}x"
        f"\n  batch says what the stream says: {same} of {count}; generate does: {stock}"
    )


def first_token(model: TransformersModel, sampling: Sampling) -> None:
    """Print the wait for the first word of a long prompt, and the pace after it."""
    (prompt,) = grounded_prompts(1)
    waits, paces = [], []
    for _ in range(3):
        start = time.perf_counter()
        stream = model.stream(prompt, adapter=None, sampling=sampling, cancelled=never)
        next(stream)
        waits.append(time.perf_counter() - start)
        count = sum(1 for _ in stream)
        paces.append(count / (time.perf_counter() - start - waits[-1]))
    size = model.count_tokens(prompt)
    print(
        f"stream: first token of {size} after {statistics.median(waits):.2f} s, "
        f"then {statistics.median(paces):.1f} tokens/s"
    )


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what `work` returns, and the processor seconds of all threads that it took.

    Processor time, since a machine with other work stretches the clock unevenly; run with
    OMP_NUM_THREADS=1, or threads that wait for each other count as well.
    """
    start = time.process_time()
    return work(), time.process_time() - start


if __name__ == "__main__":
    main()
