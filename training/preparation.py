"""From a stored data file to everything a trainer needs; also what people preview."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from assistant.engines.base import LanguageModel
from assistant.manifest import AdapterInfo
from assistant.modes import Message
from assistant.prompts import Profile, PromptBuilder, profile_of
from core.errors import DatasetError
from core.home import Home
from core.permissions import OPERATOR, Reader
from core.progress import Progress
from core.settings import Settings
from retrieval.passages import Quoter
from retrieval.service import Retrieval
from training.config import TrainingConfig
from training.dataset import Checks, Dataset, load_dataset, require_usable
from training.examples import Curriculum, Example, ExampleKind, Library, build_curriculum
from training.overlap import refuse_overlap, restricted_problems
from training.prefix_tree import Tokens
from training.rows import read_rows
from training.runs import Run, RunOptions, Runs
from training.schedule import Plan, plan

_PAGE = 500


class ExampleTokenizer(Protocol):
    """What preparing needs of a model: its tokenizer and chat template."""

    context_tokens: int

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Length of the rendered prompt, the opening of the answer's turn included."""

    def count_text(self, text: str) -> int:
        """Length of a text on its own."""

    def prompt_text(self, messages: Sequence[Message]) -> str:
        """The prompt as one string, up to where the answer starts."""

    def answer_text(self, answer: str) -> str:
        """The part that is learned, end of turn included."""

    def encode(self, example: Example) -> Tokens:
        """Token ids, and where the answer starts."""


@dataclass(frozen=True)
class Rendered:
    """An example as the model sees it."""

    kind: ExampleKind
    prompt: str
    """Read, not learned."""
    answer: str
    """Learned: the loss counts here only."""
    tokens: int


def checks_for(
    settings: Settings, config: TrainingConfig, tokenizer: ExampleTokenizer | None = None
) -> Checks:
    """How strictly data is looked at in this installation."""
    return Checks(
        personal_data=config.personal_data,
        answer_tokens=settings.answer_tokens,
        context_tokens=min(tokenizer.context_tokens if tokenizer else 8192, config.max_tokens),
        count_tokens=tokenizer.count_text if tokenizer else None,
    )


def dataset_of(home: Home, run: Run, tokenizer: ExampleTokenizer | None = None) -> Dataset:
    """Load a run's own copy of its data and stop where a person did not agree to go on.

    Raises:
        DatasetError: bad rows nobody agreed to skip, too few facts, held-out wordings; or the copy
            is damaged.
        NotFound: the copy is gone.
    """
    path = Runs(home).dataset_path(run.id)
    if hashlib.sha256(path.read_bytes()).hexdigest() != run.dataset_sha256:
        raise DatasetError(
            f"The copy of '{run.dataset_name}' in '{path}' is damaged: it is not what the run was "
            "started with. Start a new run with the original file."
        )
    dataset = load_dataset(path, checks_for(home.settings, run.config, tokenizer))
    check_agreed(dataset, run.options)
    return dataset


def check_agreed(dataset: Dataset, options: RunOptions) -> None:
    """Apply what a person decided about this data.

    Raises:
        DatasetError: as `dataset_of`.
    """
    require_usable(dataset, skip_bad_rows=options.skip_bad_rows)
    if not options.allow_overlap:
        refuse_overlap(dataset, [Path(path) for path in options.question_sets])


def restricted_warnings(dataset: Dataset, retrieval: Retrieval | None) -> list[str]:
    """Say which rows rest on documents that not everybody may read."""
    if retrieval is None:
        return []
    restricted = {}
    for offset in range(0, retrieval.library.count(OPERATOR), _PAGE):
        for document in retrieval.library.documents(OPERATOR, limit=_PAGE, offset=offset):
            if document.groups:
                restricted[document.path] = frozenset(document.groups)
    return [problem.message for problem in restricted_problems(dataset, restricted)]


def passages_for(
    home: Home,
    retrieval: Retrieval | None,
    config: TrainingConfig,
    tokenizer: ExampleTokenizer,
    basis: AdapterInfo | None = None,
) -> Library | None:
    """Return where passages come from, or None to train closed-book.

    What goes on from the adapter `basis` keeps its prompt, the line of best sentences included.
    """
    wanted = config.documents and config.passage_rounds > 0
    if not wanted or retrieval is None or retrieval.library.count(Reader()) == 0:
        return None
    # The builder measures prompts; that is all it asks of a model.
    measuring = cast(LanguageModel, tokenizer)
    settings = home.settings
    builder = PromptBuilder(
        measuring, settings.evidence_tokens, settings.answer_tokens, profile_of(settings)
    )
    retriever = retrieval.retriever
    quotes = basis is not None and basis.reads_quotations
    quoter = retriever if quotes and isinstance(retriever, Quoter) else None
    return Library(retriever, settings.passages, builder.build, builder.profile, quoter)


def read_replay(config: TrainingConfig) -> list[tuple[str, str]]:
    """Read the general instructions to mix in, if a file is named.

    Raises:
        DatasetError: the file cannot be read or holds no usable row.
    """
    if not config.replay_file:
        return []
    pairs = []
    for row in read_rows(Path(config.replay_file)).rows:
        instruction, output = row.values.get("instruction"), row.values.get("output")
        given = row.values.get("input") or ""
        if isinstance(instruction, str) and isinstance(output, str) and isinstance(given, str):
            pairs.append((f"{instruction}\n\n{given}".strip(), output))
    if not pairs:
        raise DatasetError(
            f"'{config.replay_file}' (replay_file) holds no row with instruction and output. "
            'Each line must be {"instruction": ..., "input": ..., "output": ...}.'
        )
    return pairs


def prepare(
    dataset: Dataset,
    config: TrainingConfig,
    library: Library | None,
    tokenizer: ExampleTokenizer,
    progress: Progress,
    profile: Profile = Profile.SMALL,
) -> Plan:
    """Build all examples of a run and put them into order.

    Raises:
        DatasetError: every example is longer than `max_tokens`.
    """
    progress.update(0, 1, "preparing examples")
    curriculum = build_curriculum(dataset, config, library, read_replay(config), profile)
    for note in curriculum.notes:
        progress.log(note)
    made = plan(curriculum, config, tokenizer.encode)
    if made.too_long:
        progress.log(
            f"{made.too_long:,} examples are longer than max_tokens={config.max_tokens:,} "
            "and are left out."
        )
    if not made.steps:
        raise DatasetError(
            f"All examples of '{dataset.name}' are longer than max_tokens={config.max_tokens:,}. "
            "Raise max_tokens or shorten the answers."
        )
    progress.log(_inventory(curriculum))
    return made


def preview(
    dataset: Dataset,
    config: TrainingConfig,
    tokenizer: ExampleTokenizer,
    library: Library | None = None,
    count: int = 5,
    profile: Profile = Profile.SMALL,
) -> list[Rendered]:
    """Return `count` examples of the first epochs as the model will see them, kinds mixed.

    Only as many facts are looked at as are needed, so that a large data set previews at once.
    """
    few = Dataset(
        dataset.name, dataset.sha256, dataset.facts[: max(2 * count, 10)], (), dataset.rows
    )
    short = config.model_copy(update={"epochs": 1})
    curriculum = build_curriculum(few, short, library, read_replay(config), profile)
    by_kind: dict[ExampleKind, list[Example]] = {}
    for example in (example for unit in curriculum.epochs[0] for example in unit):
        by_kind.setdefault(example.kind, []).append(example)
    longest = max((len(examples) for examples in by_kind.values()), default=0)
    mixed = [
        by_kind[kind][place]
        for place in range(longest)
        for kind in ExampleKind
        if place < len(by_kind.get(kind, ()))
    ]
    return [
        Rendered(
            example.kind,
            tokenizer.prompt_text(example.messages),
            tokenizer.answer_text(example.answer),
            len(tokenizer.encode(example).ids),
        )
        for example in mixed[:count]
    ]


def _inventory(curriculum: Curriculum) -> str:
    counts: dict[str, int] = {}
    for example in (e for epoch in curriculum.epochs for unit in epoch for e in unit):
        counts[example.kind.value] = counts.get(example.kind.value, 0) + 1
    held = f"held out: {len(curriculum.wordings)} wordings, {len(curriculum.reading)} facts"
    return f"Examples over all epochs: {json.dumps(counts)}; {held}."
