"""Batches of models of several builds, made on the spot, against `transformers.generate`."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from assistant.engines.base import Sampling
from assistant.engines.source import ModelSource, fingerprint
from assistant.engines.transformers_engine import TransformersModel
from assistant.engines.transformers_linear import PackedLinear
from assistant.engines.transformers_rows import _passes
from assistant.modes import Message
from core.settings import Settings
from tests.integration.tiny_model import write_tiny_model

WORDS = ("door", "red", "key", "stair", "window", "blue", "roof", "lamp")
BUILDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral with a window": {
        "model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 12,
    },
}  # fmt: skip
PACKED = {"llama": True, "mistral with a window": False}


def prompts() -> list[list[Message]]:
    """Of 10 to 800 tokens; some share an opening and go apart late, two are the same."""
    draw = random.Random(5)
    texts = [" ".join(draw.choices(WORDS, k=n)) for n in (1, 5, 40, 44, 90, 300)]
    long = " ".join(draw.choices(WORDS, k=400))
    texts += [long, long + " key", texts[2]]
    return [[Message("user", text)] for text in texts]


@pytest.fixture(scope="module", params=list(BUILDS))
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model whose config says it is of the build."""
    folder = write_tiny_model(tmp_path_factory.mktemp("built"), list(WORDS), seed=3)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | BUILDS[request.param]))
    (folder / "build").write_text(request.param)
    return folder


@pytest.fixture(scope="module")
def engine(built: Path) -> TransformersModel:
    """The engine on it."""
    source = ModelSource("tiny", built, fingerprint(built.glob("*.safetensors")))
    return TransformersModel(source, Settings(dtype="fp32"))


@pytest.fixture(scope="module")
def peer(built: Path, engine: TransformersModel) -> Callable[[list[Message], int], str]:
    """The library's own greedy loop."""
    model = AutoModelForCausalLM.from_pretrained(str(built), dtype=torch.float32)

    def generate(messages: list[Message], tokens: int) -> str:
        ids = torch.tensor([engine._encode(messages)])
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False
        )
        return engine._decode(output[0, ids.shape[1] :].tolist())

    return generate


def test_models_whose_layers_see_everything_are_packed(
    engine: TransformersModel, built: Path
) -> None:
    assert engine._packed == PACKED[(built / "build").read_text()]


def test_batches_and_streams_say_what_the_library_says(
    engine: TransformersModel, peer: Callable[[list[Message], int], str]
) -> None:
    asked = prompts()
    batch = engine.generate_batch(asked, adapter=None, sampling=Sampling(12))
    expected = [peer(messages, 12) for messages in asked]
    assert len(set(expected)) > 3, "the model must not say the same to everything"
    assert [one.text for one in batch] == expected
    for messages, text in zip(asked, expected, strict=True):
        said = "".join(engine.stream(messages, adapter=None, sampling=Sampling(12)))
        assert said == text


def test_texts_that_end_early_leave_the_others_alone(engine: TransformersModel) -> None:
    asked = prompts()
    whole = engine.generate_batch(asked, adapter=None, sampling=Sampling(12))
    tokens = [engine._tokenizer(one.text, add_special_tokens=False)["input_ids"] for one in whole]
    ends = engine._ends
    # A token that some texts contain early and others never: it now ends the former.
    uses = {t: sum(t in ids for ids in tokens) for ids in tokens for t in ids}
    common = max((count, t) for t, count in uses.items() if count < len(asked))[1]
    try:
        engine._ends = ends | {common}
        batch = engine.generate_batch(asked, adapter=None, sampling=Sampling(12))
        alone = [engine.generate_batch([m], adapter=None, sampling=Sampling(12))[0] for m in asked]
    finally:
        engine._ends = ends
    assert {one.cut_off for one in batch} == {True, False}
    for one, single in zip(batch, alone, strict=True):
        assert (one.text, one.cut_off, one.answer_tokens) == (
            single.text, single.cut_off, single.answer_tokens,
        )  # fmt: skip
        assert one.mean_logprob == pytest.approx(single.mean_logprob, abs=1e-4)


def test_a_shared_opening_is_read_once() -> None:
    opening = list(range(700))
    rows = [[*opening, 1000, 1001], [*opening, 1002], [5, 6], [*opening, 1000, 1003]]
    spans = [span for spans in _passes(rows, 512) for span in spans]
    assert sum(span.end - span.start for span in spans) == 702 + 1 + 2 + 1
    assert all(sum(s.end - s.start for s in spans) <= 512 for spans in _passes(rows, 512))
    parents = {span.row: span.opening_of for span in spans if span.opening_of is not None}
    assert parents == {1: 0, 3: 0}


def test_a_packed_layer_computes_what_it_did_and_keeps_no_second_copy(
    engine: TransformersModel, built: Path
) -> None:
    packed = [m for m in engine._model.modules() if isinstance(m, PackedLinear)]
    assert len(packed) == 15, "seven in each of two layers, and the last"
    assert sum(m.weight.untyped_storage().nbytes() == 4 for m in packed) == 14
    stock = AutoModelForCausalLM.from_pretrained(str(built), dtype=torch.float32)
    inputs = torch.randn(3, 7, 64)
    with torch.inference_mode():
        expected = stock.model.layers[1].mlp.up_proj(inputs)
        result = engine._model.model.layers[1].mlp.up_proj(inputs)
    assert torch.allclose(result, expected, atol=1e-5)
