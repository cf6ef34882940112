"""The evidence finder's network: the embedder's own backbone, low-rank weights and a head.

Question and chunk are read together (a cross-encoder, Nogueira & Cho 2019); each sentence is
the mean of its tokens' states, so one reading of a chunk judges all its sentences in context.
Torch and transformers are imported here only, for this purpose.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModel

from core.errors import EngineError
from core.loading import Loading
from retrieval.evidence import Calibration, Candidate
from retrieval.passages import Array

LONGEST_QUESTION = 48
LONGEST_HEADING = 32
LONGEST_INPUT = 256
"""In tokens; the backbone was trained up to this. What is beyond scores as the chunk does."""
BATCH = 4
"""Chunks read at once. On a processor few are as fast as many, and waste less on padding."""
HEAD_WIDTH = 192
WEIGHTS = "evidence.safetensors"
MANIFEST = "manifest.json"
START_BIAS = -3.0
"""An untrained head says 'no' to nearly every sentence, as is true of them."""


@dataclass(frozen=True)
class Encoded:
    """One chunk with the question before it, as token numbers."""

    ids: list[int]
    question_end: int
    """The first position after question and its separator."""
    spans: list[tuple[int, int]]
    """Token positions of each sentence; empty where it was cut off."""


class SentenceReader:
    """Turns question and chunk into tokens."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the backbone's, with tokenizer.json."""
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._start = self._special("[CLS]")
        self._end = self._special("[SEP]")

    def _special(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise EngineError(f"The evidence finder's tokenizer has no {token}: reinstall it.")
        return int(number)

    def encode(self, question: str, candidate: Candidate) -> Encoded:
        """[CLS] question [SEP] heading [SEP] sentences [SEP], cut at `LONGEST_INPUT`."""
        texts = [question, candidate.heading, *candidate.sentences]
        found = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        asked, heading, *sentences = [item.ids for item in found]
        ids = [self._start, *asked[:LONGEST_QUESTION], self._end]
        question_end = len(ids)
        ids += [*heading[:LONGEST_HEADING], self._end]
        spans = []
        for sentence in sentences:
            kept = sentence[: max(0, LONGEST_INPUT - 1 - len(ids))]
            spans.append((len(ids), len(ids) + len(kept)))
            ids += kept
        return Encoded([*ids, self._end], question_end, spans)


class LowRank(nn.Module):
    """A frozen linear map plus a trained one of low rank (LoRA, Hu et al. 2021)."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        """Start as `base` alone: the second factor is zero."""
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, states: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        result: Tensor = self.base(states) + (states @ self.down.T) @ self.up.T
        return result


class EvidenceNetwork(nn.Module):
    """Scores the sentences of chunks against questions."""

    def __init__(self, backbone_folder: Path) -> None:
        """Read the backbone; the head starts untrained."""
        super().__init__()
        self.backbone: Any = AutoModel.from_pretrained(
            backbone_folder, add_pooling_layer=False, local_files_only=True
        )
        self.backbone.requires_grad_(False)
        width = int(self.backbone.config.hidden_size)
        last = nn.Linear(HEAD_WIDTH, 1)
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, START_BIAS)
        self.head = nn.Sequential(nn.Linear(4 * width, HEAD_WIDTH), nn.GELU(), last)

    def forward(self, items: Sequence[Encoded]) -> list[Tensor]:
        """Return for each item the log-odds of its sentences, (sentences,)."""
        order = sorted(range(len(items)), key=lambda n: len(items[n].ids))
        scores: list[Tensor] = [torch.empty(0)] * len(items)
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            rows = self._batch([items[n] for n in places])
            for n, row in zip(places, rows, strict=True):
                scores[n] = row[: len(items[n].spans)]
        return scores

    def _batch(self, items: Sequence[Encoded]) -> Tensor:
        device = self.backbone.device
        ids, kinds, mask, parts = (tensor.to(device) for tensor in _padded(items))
        states = self.backbone(
            input_ids=ids, token_type_ids=kinds, attention_mask=mask
        ).last_hidden_state
        kinds_of_part = 2 + max(len(item.spans) for item in items)
        member = nn.functional.one_hot(parts, kinds_of_part).to(states.dtype)
        means = torch.einsum("blp,bld->bpd", member, states)
        means = means / member.sum(1).clamp(min=1.0)[..., None]
        question, sentences = means[:, 1:2], means[:, 2:]
        whole = states[:, :1].expand_as(sentences)
        features = [sentences, question.expand_as(sentences), sentences * question, whole]
        result: Tensor = self.head(torch.cat(features, -1)).squeeze(-1).float()
        return result

    def adapted(self) -> Iterator[tuple[str, nn.Module, str, nn.Linear]]:
        """Yield (name, parent, attribute, map) of every linear map of the encoder's layers."""
        for name, module in list(self.backbone.named_modules()):
            for attribute, child in list(module.named_children()):
                if isinstance(child, nn.Linear) and "encoder.layer." in f"{name}.{attribute}":
                    yield f"{name}.{attribute}", module, attribute, child

    def add_low_rank(self, rank: int, first_layer: int) -> None:
        """Make the maps of layers `first_layer` and above trainable at `rank`."""
        for name, parent, attribute, linear in self.adapted():
            if int(name.split("encoder.layer.")[1].split(".")[0]) >= first_layer:
                setattr(parent, attribute, LowRank(linear, rank))

    def trained_state(self) -> dict[str, Tensor]:
        """What training changed: low-rank factors and head, by name."""
        return {
            name: parameter.detach()
            for name, parameter in self.named_parameters()
            if parameter.requires_grad
        }

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add stored low-rank factors into the backbone's own maps and take the head."""
        for name, _, _, linear in self.adapted():
            down = state.get(f"backbone.{name}.down")
            up = state.get(f"backbone.{name}.up")
            if down is not None and up is not None:
                linear.weight.data += up.float() @ down.float()
        head = {name[5:]: value.float() for name, value in state.items() if name[:5] == "head."}
        self.head.load_state_dict(head)


class CrossEncoderScorer:
    """A trained network as `SentenceScorer`; loads at first use. Safe between threads."""

    def __init__(
        self, weights: Path, backbone_folder: Path, loading: Loading | None = None
    ) -> None:
        """Find the weights; nothing is read yet but their manifest.

        Args:
            weights: a folder with the weights and their manifest.
            backbone_folder: the embedder that they stand on.
            loading: shared with whatever else this process loads.

        Raises:
            EngineError: no trained weights are there, or they belong to another backbone.
        """
        self._weights = weights
        self._backbone_folder = backbone_folder
        self._open = (loading or Loading()).once(self._load)
        self.manifest = manifest_of(weights)

    @property
    def name(self) -> str:
        """Hash of weights and calibration: both decide what is chosen."""
        facts = [self.manifest["weights_sha256"], self.manifest["calibration"]]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return f"evidence@{digest[:16]}"

    @property
    def calibration(self) -> Calibration:
        """As fitted on the sources kept out of training."""
        return Calibration(**self.manifest["calibration"])

    def score(self, question: str, candidates: Sequence[Candidate]) -> list[Array]:
        """Return for each candidate the log-odds of each sentence."""
        network, reader = self._open()
        items = [reader.encode(question, candidate) for candidate in candidates]
        with torch.inference_mode(), half_precision():
            return [row.cpu().numpy().astype(np.float32) for row in network(items)]

    def _load(self) -> tuple[EvidenceNetwork, SentenceReader]:
        network = read_network(self._weights, self._backbone_folder)
        return network, SentenceReader(self._backbone_folder)


def read_network(weights: Path, backbone_folder: Path) -> EvidenceNetwork:
    """Read what training saved in `weights` onto the backbone, ready to score.

    Raises:
        EngineError: nothing is there, or it belongs to another backbone.
    """
    network = EvidenceNetwork(backbone_folder)
    network.merge(read_state(weights, backbone_folder))
    return network.eval()


def read_state(weights: Path, backbone_folder: Path) -> dict[str, Tensor]:
    """Read low-rank factors and head, by name, as training saved them in `weights`.

    Raises:
        EngineError: nothing is there, or it belongs to another backbone.
    """
    if backbone_hash(backbone_folder) != manifest_of(weights)["backbone_sha256"]:
        raise EngineError(
            f"The evidence finder in '{weights}' was trained on another embedder than "
            f"'{backbone_folder}'. Set INHOUSE_EVIDENCE_FINDER=off, or train one with "
            "`python -m training evidence`."
        )
    with safe_open(weights / WEIGHTS, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def half_precision() -> torch.autocast:
    """Compute in bfloat16 where the processor has instructions for it: twice as fast there.

    Scores move by a tenth at most.
    """
    able = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=bool(able))


def backbone_hash(folder: Path) -> str:
    """SHA-256 of the backbone's weights."""
    with (folder / "model.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_of(weights: Path) -> dict[str, Any]:
    """What the finder in `weights` says of itself.

    Raises:
        EngineError: there is none, or it is damaged.
    """
    try:
        found: dict[str, Any] = json.loads((weights / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError(
            f"No trained evidence finder is in '{weights}': {error}. "
            "Set INHOUSE_EVIDENCE_FINDER=off, or train one with `python -m training evidence`."
        ) from error
    return found


def _padded(items: Sequence[Encoded]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Token ids, segment ids, mask, and part of each token: 0 rest, 1 question, 2.. sentences."""
    longest = max(len(item.ids) for item in items)
    ids, kinds, mask, parts = (torch.zeros(len(items), longest, dtype=torch.long) for _ in range(4))
    for row, item in enumerate(items):
        length = len(item.ids)
        ids[row, :length] = torch.tensor(item.ids)
        mask[row, :length] = 1
        kinds[row, item.question_end : length] = 1
        parts[row, 1 : item.question_end - 1] = 1
        for number, (start, end) in enumerate(item.spans):
            parts[row, start:end] = 2 + number
    return ids, kinds, mask, parts
