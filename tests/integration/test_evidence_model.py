"""The evidence network on the real backbone: reading, training, resuming, saving, serving."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import Conflict, EngineError, InvalidInput, Stopped
from core.progress import Silent
from retrieval.evidence import Calibration, Candidate
from retrieval.evidence_model import (
    LONGEST_INPUT,
    WEIGHTS,
    CrossEncoderScorer,
    EvidenceNetwork,
    SentenceReader,
    read_network,
)
from retrieval.evidence_service import backbone_folder
from training.__main__ import main
from training.evidence_calibration import calibrate
from training.evidence_data import Chunk, Group, Material
from training.evidence_trainer import (
    EvidenceConfig,
    Run,
    average,
    order_of,
    recalibrate,
    save_evidence,
    score_groups,
    train_evidence,
)
from training.grounding_commands import require_held_out

CONFIG = EvidenceConfig(steps=4, batch=2, rank=4, first_layer=5, reading_share=0.0)


@pytest.fixture(scope="module")
def backbone() -> Path:
    return backbone_folder()


@pytest.fixture(scope="module")
def material() -> Material:
    chunks = tuple(
        Chunk("s", f"{n}.md", Candidate(f"Rule {n}", (f"The limit is {n} days.", "Ask first.")))
        for n in range(6)
    )
    groups = tuple(
        Group(f"What is limit {n}?", "s", True, "", (str(n),), ((n, (0,)),), tuple(range(6)))
        for n in range(6)
    )
    return Material(chunks, groups, "data")


def trained(material: Material, run: Run, config: EvidenceConfig = CONFIG) -> dict[str, Any]:
    order = order_of(material.groups, [], config)
    network = train_evidence(material, order, config, run, Silent())
    return {name: value.numpy() for name, value in network.trained_state().items()}


def test_sentences_keep_their_places_and_long_chunks_are_cut(backbone: Path) -> None:
    reader = SentenceReader(backbone)
    encoded = reader.encode("How long?", Candidate("Leave", ("One day.", "Two days.")))
    (a, b), (c, d) = encoded.spans
    assert encoded.question_end < a < b == c < d == len(encoded.ids) - 1
    long = reader.encode("How long?", Candidate("Leave", ("word " * 300, "End.")))
    assert len(long.ids) == LONGEST_INPUT
    assert long.spans[1][0] == long.spans[1][1]


class StopsAfter(Silent):
    """Somebody presses stop after so many steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def stop_requested(self) -> bool:
        self._left -= 1
        return self._left <= 0


def test_a_resumed_run_ends_as_an_uninterrupted_one(
    backbone: Path, material: Material, tmp_path: Path
) -> None:
    for name in ("whole", "halves"):
        (tmp_path / name).mkdir()
    whole = trained(material, Run(tmp_path / "whole", backbone))
    halves = Run(tmp_path / "halves", backbone, resume=True)
    order = order_of(material.groups, [], CONFIG)
    with pytest.raises(Stopped, match="after step 2"):
        train_evidence(material, order, CONFIG, halves, StopsAfter(2))
    again = trained(material, halves)
    assert all(np.allclose(whole[name], again[name], atol=1e-6) for name in whole)


def test_a_checkpoint_of_other_data_is_refused(
    backbone: Path, material: Material, tmp_path: Path
) -> None:
    trained(material, Run(tmp_path, backbone))
    other = Material(material.chunks, material.groups, "other data")
    with pytest.raises(Conflict, match="other data or settings"):
        trained(other, Run(tmp_path, backbone, resume=True))


def test_what_was_saved_scores_as_what_was_trained(
    backbone: Path, material: Material, tmp_path: Path
) -> None:
    config = EvidenceConfig(**{**CONFIG.__dict__, "head_learning_rate": 0.02})
    order = order_of(material.groups, [], config)
    network = train_evidence(material, order, config, Run(tmp_path, backbone), Silent())
    scored = score_groups(network, backbone, material, material.groups[:1])
    calibration, metrics = calibrate(scored)
    facts = {"calibration": calibration.__dict__, "metrics": metrics}
    save_evidence(network, tmp_path / "finder", backbone, facts)
    served = CrossEncoderScorer(tmp_path / "finder", backbone)
    group = material.groups[0]
    rows = served.score(group.question, [chunk.candidate for chunk in material.chunks])
    for row, expected in zip(rows, scored[0].scores, strict=True):
        assert np.allclose(row, expected, atol=0.05)
    assert served.calibration == calibration
    assert served.name.startswith("evidence@")
    weights = (tmp_path / "finder" / WEIGHTS).read_bytes()
    other = Calibration(1.0, 0.5, 2.0, 0.25)
    manifest = recalibrate(tmp_path / "finder", other, {"metrics": {"questions": 1.0}})
    again = CrossEncoderScorer(tmp_path / "finder", backbone)
    assert (again.calibration, again.manifest) == (other, manifest)
    assert again.name.startswith("evidence@")
    assert again.name != served.name
    assert manifest["metrics"] == {"questions": 1.0}
    assert (tmp_path / "finder" / WEIGHTS).read_bytes() == weights
    read = read_network(tmp_path / "finder", backbone)
    (rescored,) = score_groups(read, backbone, material, material.groups[:1])
    assert np.allclose(rescored.scores, scored[0].scores, atol=0.05)


def test_a_run_goes_on_from_another_finder(
    backbone: Path, material: Material, tmp_path: Path
) -> None:
    order = order_of(material.groups, [], CONFIG)
    first = train_evidence(material, order, CONFIG, Run(tmp_path, backbone), Silent())
    save_evidence(first, tmp_path / "first", backbone, {})
    still = EvidenceConfig(**{**CONFIG.__dict__, "learning_rate": 0.0, "head_learning_rate": 0.0})
    run = Run(tmp_path / "second", backbone, start=tmp_path / "first")
    run.folder.mkdir()
    same = trained(material, run, still)
    for name, value in first.trained_state().items():
        assert np.allclose(same[name], value.numpy(), rtol=0.01), name
    network = train_evidence(material, order, still, run, Silent())
    before = {name: value + 3.0 for name, value in network.trained_state().items()}
    network.load_state_dict(before, strict=False)
    average(network, [tmp_path / "first"] * 2, backbone)
    for name, value in network.trained_state().items():
        assert torch.allclose(value, before[name] - 2.0, atol=0.05), name
    wider = EvidenceConfig(**{**CONFIG.__dict__, "rank": 8})
    with pytest.raises(EngineError, match="another rank"):
        trained(material, run, wider)
    with pytest.raises(EngineError, match="No trained evidence finder"):
        average(network, [tmp_path / "nowhere"], backbone)
    with pytest.raises(EngineError, match="No trained evidence finder"):
        trained(material, Run(run.folder, backbone, start=tmp_path / "nowhere"))
    onwards = Run(run.folder, backbone, resume=True)
    with pytest.raises(Conflict, match="other data or settings"):
        trained(material, onwards, still)


def written_material(folder: Path) -> list[str]:
    """Two sources of one document each, and questions about them; as flags of the command."""
    rows = []
    for source, days in (("north", 30), ("south", 25)):
        (folder / source).mkdir()
        text = f"# Leave\n\nEverybody has {days} days of vacation a year. Ask your manager first.\n"
        (folder / source / "leave.md").write_text(text)
        rows.append({
            "id": source, "question": f"How many days of vacation are there in the {source}?",
            "wordings": [f"How much vacation do I get, {source}?"], "answer": f"{days} days.",
            "short_answers": [f"{days} days"], "evidence_file": f"{source}/leave.md",
            "evidence_quote": f"Everybody has {days} days of vacation",
        })  # fmt: skip
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["--dataset", str(path), "--documents", str(folder)]


def test_calibration_is_repeated_without_training(
    backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = EvidenceNetwork(backbone)
    network.add_low_rank(2, 5)
    finder, facts = tmp_path / "finder", {"held_out": ["south"], "calibration": {"slope": 9.0}}
    save_evidence(network, finder, backbone, facts)
    weights = (finder / WEIGHTS).read_bytes()
    command = [
        "evidence", *written_material(tmp_path), "--calibrate-only", "--output", str(finder),
        "--workspace", str(tmp_path / "workspace"), "--json",
    ]  # fmt: skip
    assert main([*command, "--hold-out", "north"]) == InvalidInput.exit_code
    assert "learned from" in capsys.readouterr().err
    assert main([*command, "--hold-out", "south"]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest == json.loads((finder / "manifest.json").read_text())
    assert manifest["calibration"]["slope"] != 9.0
    # Untrained, every sentence scores the same: the lowest chance of both wordings is the limit.
    assert 0.0 < manifest["calibration"]["threshold"] < 1.0
    assert (manifest["metrics"]["questions"], manifest["metrics"]["false_refusals"]) == (2.0, 0.0)
    assert manifest["calibrated_on"] == ["south"]
    assert (finder / WEIGHTS).read_bytes() == weights


def test_weights_for_another_backbone_are_refused(backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="No trained evidence finder"):
        CrossEncoderScorer(tmp_path, backbone)
    facts = {"weights_sha256": "0", "backbone_sha256": "1"}
    (tmp_path / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(EngineError, match="another embedder"):
        CrossEncoderScorer(tmp_path, backbone).score("q", [Candidate("h", ("s",))])


def test_only_sources_kept_out_calibrate() -> None:
    require_held_out(["south"], ["south", "west"])
    with pytest.raises(InvalidInput, match=r"--hold-out north: learned from.*: south"):
        require_held_out(["south", "north"], ["south"])
    with pytest.raises(InvalidInput, match=r"No --hold-out.*none; train again"):
        require_held_out([], [])
