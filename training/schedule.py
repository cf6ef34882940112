"""Orders examples into steps, and cuts steps into passes that fit into memory."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.config import TrainingConfig
from training.examples import Curriculum, Example
from training.prefix_tree import Tokens

Encode = Callable[[Example], Tokens]
Pass = tuple[Tokens, ...]
"""Examples computed together."""
Step = tuple[Pass, ...]
"""Passes whose gradients are summed before the weights change."""


@dataclass(frozen=True)
class Plan:
    """Everything a trainer does, in order."""

    steps: tuple[Step, ...]
    steps_per_epoch: float
    wordings: tuple[Pass, ...]
    """Validation: taught facts in unseen words."""
    reading: tuple[Pass, ...]
    """Validation: passages about facts never taught."""
    too_long: int
    """Examples left out because they exceed `max_tokens`."""

    def epoch(self, step: int) -> float:
        """How often the data was seen after `step` steps."""
        return step / self.steps_per_epoch


def plan(curriculum: Curriculum, config: TrainingConfig, encode: Encode) -> Plan:
    """Turn a curriculum into steps of about `batch_size` examples.

    Units stay whole, and steps run on across the border of two epochs, so that none is small.
    """
    known: dict[Example, Tokens] = {}
    too_long = 0
    steps: list[Step] = []
    batch: list[Tokens] = []
    for unit in (unit for epoch in curriculum.epochs for unit in epoch):
        for example in unit:
            # Looked up first: most examples come back in every epoch.
            if example not in known:
                known[example] = encode(example)
            tokens = known[example]
            if len(tokens.ids) > config.max_tokens:
                too_long += 1
            else:
                batch.append(tokens)
        if len(batch) >= config.batch_size:
            steps.append(passes(batch, config.pass_tokens))
            batch = []
    if batch:
        steps.append(passes(batch, config.pass_tokens))
    return Plan(
        tuple(steps),
        len(steps) / config.epochs,
        _validation(curriculum.wordings, config, encode),
        _validation(curriculum.reading, config, encode),
        too_long,
    )


def plan_to_json(made: Plan) -> str:
    """Write a plan down, each distinct example once, so that a resumed run follows it."""
    known: dict[Tokens, int] = {}

    def number(group: Pass) -> list[int]:
        return [known.setdefault(tokens, len(known)) for tokens in group]

    steps = [[number(group) for group in step] for step in made.steps]
    wordings, reading = ([number(group) for group in p] for p in (made.wordings, made.reading))
    return json.dumps(
        {
            "examples": [[tokens.answer_start, tokens.ids] for tokens in known],
            "steps": steps,
            "steps_per_epoch": made.steps_per_epoch,
            "wordings": wordings,
            "reading": reading,
            "too_long": made.too_long,
        }
    )


def plan_from_json(text: str) -> Plan:
    """Read what `plan_to_json` wrote."""
    stored = json.loads(text)
    examples = [Tokens(tuple(ids), start) for start, ids in stored["examples"]]

    def step(groups: list[list[int]]) -> Step:
        return tuple(tuple(examples[place] for place in group) for group in groups)

    return Plan(
        tuple(step(groups) for groups in stored["steps"]),
        stored["steps_per_epoch"],
        step(stored["wordings"]),
        step(stored["reading"]),
        stored["too_long"],
    )


def _validation(
    examples: Sequence[Example], config: TrainingConfig, encode: Encode
) -> tuple[Pass, ...]:
    encoded = [encode(example) for example in examples]
    return passes([t for t in encoded if len(t.ids) <= config.max_tokens], config.pass_tokens)


def passes(examples: Sequence[Tokens], room: int) -> Step:
    """Group examples, alike ones together, so that each group's tree has at most `room` tokens.

    An example longer than `room` gets a pass of its own.
    """
    groups: list[list[Tokens]] = []
    size = 0
    before: tuple[int, ...] = ()
    # In this order an example shares more with its neighbour than with any other before it.
    for example in sorted(examples, key=lambda tokens: tokens.ids):
        new = len(example.ids) - _shared(before, example.ids)
        if not groups or size + new > room:
            groups.append([])
            size, new = 0, len(example.ids)
        groups[-1].append(example)
        size += new
        before = example.ids
    return tuple(tuple(group) for group in groups)


def _shared(left: Sequence[int], right: Sequence[int]) -> int:
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


def tokens_of(step: Step) -> int:
    """Tokens of a step's examples, shared beginnings counted for each of them."""
    return sum(len(example.ids) for examples in step for example in examples)


def early_end(losses: Sequence[float], patience: int) -> bool:
    """Tell whether the last `patience` validations (0: never) all failed to beat the best."""
    if patience == 0 or len(losses) <= patience:
        return False
    best = min(losses[:-patience], default=math.inf)
    return min(losses[-patience:]) >= best
