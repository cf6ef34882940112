"""`python -m training evidence` and `python -m training reader`."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.engines.source import locate_model
from core.cli import Call, CommandLine, Report
from core.errors import InvalidInput
from retrieval.embedding import open_embedder
from retrieval.evidence import Calibration
from retrieval.evidence_service import backbone_folder
from training.embedding_cache import CachedEmbedder
from training.evidence_calibration import Scored, calibrate
from training.evidence_data import Group, Material, read_material, with_served_search
from training.reader_data import ReaderMix, read_instructions, reader_units
from training.reading_data import READING, joined, read_reading

if TYPE_CHECKING:
    from retrieval.evidence_model import EvidenceNetwork

EVIDENCE_CHUNK_TOKENS = 110
EVIDENCE_RATE = 6e-4
READER_RATE = 5e-4
READING_ROWS = 3000
READER_READING_ROWS = 9000
"""More, so that several questions are about one text."""
REPLAY_ROWS = 3000
READER_UNITS = 2080
"""Whatever the number of steps, so that it may change when a run goes on; then they come again."""


def add_evidence_commands(line: CommandLine) -> None:
    """Add both commands to the command line of this package."""
    evidence = line.add("evidence", _evidence, "train the finder of evidence sentences")
    _add_common(evidence, EVIDENCE_RATE)
    evidence.add_argument("--steps", type=int, default=600, help="default: 600")
    evidence.add_argument(
        "--calibrate-only", action="store_true",
        help="train nothing: score the held-out sources with the weights in --output, and "
        "write their calibration anew",
    )  # fmt: skip
    evidence.add_argument(
        "--average", nargs="+", default=[], type=Path, metavar="FOLDER",
        help="take the mean of what is trained and of the finders in these folders",
    )  # fmt: skip
    reader = line.add("reader", _reader, "train the reader: answers from passages, or refuses")
    _add_common(reader, READER_RATE)
    reader.add_argument("--steps", type=int, default=300, help="of 8 prompts; default: 300")
    reader.add_argument("--rank", type=int, default=16, help="of the LoRA; default: 16")
    reader.add_argument("--replay", type=Path, metavar="FILE", help="general instructions")


def _add_common(parser: argparse.ArgumentParser, learning_rate: float) -> None:
    parser.add_argument(
        "--dataset", nargs="+", type=Path, required=True, metavar="FILE",
        help="questions with evidence_file and evidence_quote (format of training data)",
    )  # fmt: skip
    parser.add_argument(
        "--documents", type=Path, required=True, metavar="FOLDER",
        help="the documents that evidence_file is relative to",
    )  # fmt: skip
    parser.add_argument("--reading", type=Path, metavar="FILE", help="general reading rows")
    parser.add_argument(
        "--hold-out", nargs="+", default=[], metavar="SOURCE",
        help="folders of the documents kept out of training, for calibration",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="new folder")
    parser.add_argument(
        "--start", type=Path, metavar="FOLDER", help="go on from what was trained into this folder"
    )
    parser.add_argument(
        "--learning-rate", type=float, default=learning_rate, metavar="RATE",
        help=f"at its highest; half of the default, {learning_rate}, does well with --start",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")


def _evidence(call: Call) -> Report:
    if call.arguments.calibrate_only:
        return _calibrate(call)
    # Torch loads only when something is trained.
    from training.evidence_trainer import (
        EvidenceConfig,
        Run,
        average,
        order_of,
        save_evidence,
        train_evidence,
        weights_of,
    )

    given = call.arguments
    config = EvidenceConfig(steps=given.steps, seed=given.seed, learning_rate=given.learning_rate)
    material, own, reading = _material(call, READING_ROWS)
    own = _as_served(call, material, own) if given.steps else own
    order = order_of(own, reading, config)
    folder = call.home.workspace.runs / "evidence"
    folder.mkdir(exist_ok=True)
    backbone = backbone_folder()
    run = Run(folder, backbone, given.start, given.resume)
    facts = {"config": asdict(config), "data_sha256": material.sha256, "held_out": given.hold_out}
    facts["started_from"] = weights_of(given.start) if given.start else ""
    facts["averaged_with"] = [weights_of(folder) for folder in given.average]
    network = train_evidence(material, order, config, run, call.progress)
    average(network, given.average, backbone)
    calibration, metrics = Calibration(), dict[str, float]()
    if given.hold_out:
        calibration, metrics = calibrate(_scored(call, network))
    facts |= {"calibration": asdict(calibration), "metrics": metrics}
    manifest = save_evidence(network, given.output, backbone, facts)
    return Report(manifest, f"The evidence finder is in '{given.output}': {metrics}")


def _as_served(call: Call, material: Material, groups: list[Group]) -> list[Group]:
    """The groups with wrong chunks that the product's own search finds for them."""
    from retrieval.evidence_model import half_precision

    kept = call.home.workspace.runs / "embedded"
    embedder = CachedEmbedder(open_embedder(call.home.settings), kept, call.progress)
    with half_precision():
        return with_served_search(material, groups, embedder)


def _calibrate(call: Call) -> Report:
    from retrieval.evidence_model import CrossEncoderScorer, read_network
    from training.evidence_trainer import recalibrate

    given, backbone = call.arguments, backbone_folder()
    scorer = CrossEncoderScorer(given.output, backbone)
    require_held_out(given.hold_out, scorer.manifest.get("held_out", []))
    calibration, metrics = calibrate(_scored(call, read_network(given.output, backbone)))
    facts = {"metrics": metrics, "calibrated_on": list(given.hold_out)}
    manifest = recalibrate(given.output, calibration, facts)
    return Report(manifest, f"Calibrated anew: '{given.output}': {metrics}")


def _scored(call: Call, network: "EvidenceNetwork") -> list[Scored]:
    """The held-out questions, scored as they are served: by its search, in its chunks."""
    from training.evidence_trainer import score_groups

    given, settings = call.arguments, call.home.settings
    material = read_material(given.dataset, given.documents, settings.chunk_tokens, call.progress)
    _, kept = material.split(given.hold_out)
    served = with_served_search(material, kept, open_embedder(settings))
    return score_groups(network, backbone_folder(), material, served)


def require_held_out(wanted: Sequence[str], kept: Sequence[str]) -> None:
    """Check that a finder may be calibrated on the sources `wanted`.

    Args:
        wanted: sources named now.
        kept: sources kept out when it was trained.

    Raises:
        InvalidInput: none is named, or one was learned from.
    """
    learned = [source for source in wanted if source not in kept]
    if not wanted or learned:
        said = f"--hold-out {' '.join(learned)}: learned from" if learned else "No --hold-out"
        names = ", ".join(kept) or "none; train again with --hold-out"
        raise InvalidInput(
            f"{said}. A finder is calibrated on sources that it was not trained on: {names}."
        )


def _material(call: Call, reading_rows: int) -> tuple[Material, list[Group], list[Group]]:
    """Everything that is read; then the groups to learn from, own and general reading."""
    given = call.arguments
    material = read_material(given.dataset, given.documents, EVIDENCE_CHUNK_TOKENS, call.progress)
    material.split(given.hold_out)
    if given.reading:
        general = read_reading(given.reading, reading_rows, given.seed)
        material = joined(material, general)
    kept, _ = material.split(given.hold_out)
    reading = [group for group in kept if group.source == READING]
    return material, [group for group in kept if group.source != READING], reading


def _reader(call: Call) -> Report:
    from training.reader_trainer import (
        ReaderConfig,
        ReaderRun,
        save_reader,
        steps_of,
        train_reader,
        weights_of,
    )
    from training.tokenizer import ChatTokenizer

    given = call.arguments
    config = ReaderConfig(
        steps=given.steps, rank=given.rank, alpha=2 * given.rank,
        learning_rate=given.learning_rate, seed=given.seed,
    )  # fmt: skip
    source = locate_model(call.home.settings, call.home.workspace)
    tokenizer = ChatTokenizer(source)
    material, own, reading = _material(call, READER_READING_ROWS)
    replay = read_instructions(given.replay, REPLAY_ROWS) if given.replay else []
    mix = ReaderMix(seed=given.seed)
    units = reader_units(material, own, reading, replay, mix, READER_UNITS)
    steps = steps_of([[tokenizer.encode(one) for one in unit] for unit in units], config)
    folder = call.home.workspace.runs / "reader"
    folder.mkdir(exist_ok=True)
    run = ReaderRun(folder, given.start, given.resume)
    model = train_reader(source, call.home.settings, steps, config, run, call.progress)
    facts = {**asdict(config), "mix": asdict(mix), "data_sha256": material.sha256}
    facts["held_out"] = given.hold_out
    facts["started_from"] = weights_of(given.start) if given.start else ""
    metrics = {"examples": sum(len(step) for step in steps)}
    manifest = save_reader(model, given.output, source, facts, metrics)
    return Report(asdict(manifest), f"The reader is in '{given.output}'.")
