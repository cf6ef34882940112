"""Batches read without padding say what streams say, whatever their prompts share."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from transformers import DynamicCache

from assistant.engines import transformers_packed
from assistant.engines.base import Sampling
from assistant.engines.source import locate_model
from assistant.engines.transformers_engine import TransformersModel
from assistant.modes import Message
from core.home import Home, open_home
from tests.integration.tiny_model import write_tiny_model

RULES = [f"Rule {n}: whoever needs {n * 7} forms asks desk {n + 3} before noon. " for n in range(9)]
SAMPLING = Sampling(24)


@pytest.fixture(scope="module")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("tiny")
    model = write_tiny_model(folder / "tiny-model", RULES)
    return open_home(workspace=folder / "home", model=str(model), dtype="fp32", threads=1)


@pytest.fixture
def model(tiny_home: Home) -> TransformersModel:
    source = locate_model(tiny_home.settings, tiny_home.workspace)
    return TransformersModel(source, tiny_home.settings)


def prompts() -> list[Sequence[Message]]:
    """Long and short, with openings that all, some or none share, and one that stands twice."""
    system = Message("system", "Answer from the rules.")
    texts = [
        "".join(RULES[:4]) + "Question: how many?",
        "".join(RULES[:4]) + "Question: which desk?",
        "".join(RULES[:2]) + "Question: when?",
        "".join(RULES[3:9]) + "Question: when?",
        "".join(RULES[:4]) + "Question: how many?",
        "Hello",
    ]
    return [*([system, Message("user", text)] for text in texts), [Message("user", "Who?")]]


def test_a_packed_batch_says_what_streams_say(model: TransformersModel) -> None:
    alone = ["".join(model.stream(p, adapter=None, sampling=SAMPLING)) for p in prompts()]
    batch = model.generate_batch(prompts(), adapter=None, sampling=SAMPLING)
    assert model._packs, "the packed path was left"
    assert [one.text for one in batch] == alone
    assert len(set(alone)) > 3, "the prompts must make a difference"
    lengths = {one.answer_tokens for one in batch}
    assert len(lengths) > 1 or lengths == {SAMPLING.max_tokens}


def test_pieces_of_any_size_say_the_same(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.generate_batch(prompts(), adapter=None, sampling=SAMPLING)
    monkeypatch.setattr(transformers_packed, "PIECE", 24)
    cut = model.generate_batch(prompts(), adapter=None, sampling=SAMPLING)
    assert [one.text for one in cut] == [one.text for one in whole]


def test_a_model_that_cannot_be_packed_is_padded_and_says_the_same(
    model: TransformersModel,
) -> None:
    packed = model.generate_batch(prompts(), adapter=None, sampling=SAMPLING)
    model._packs = False
    padded = model.generate_batch(prompts(), adapter=None, sampling=SAMPLING)
    assert [replace(one, mean_logprob=None) for one in padded] == [
        replace(one, mean_logprob=None) for one in packed
    ]
    for one, other in zip(packed, padded, strict=True):
        assert one.mean_logprob == pytest.approx(other.mean_logprob, abs=1e-4)


def test_an_attention_that_ignores_the_layout_is_noticed(tiny_home: Home) -> None:
    source = locate_model(tiny_home.settings, tiny_home.workspace)
    model = TransformersModel(source, tiny_home.settings)
    expected = model.generate_batch(prompts(), adapter=None, sampling=SAMPLING)
    model._model.set_attn_implementation("sdpa")
    assert [one.text for one in model.generate_batch(
        prompts(), adapter=None, sampling=SAMPLING)] == [one.text for one in expected]  # fmt: skip
    assert not model._packs


def test_a_model_of_its_own_kind_of_cache_is_not_packed(model: TransformersModel) -> None:
    cache = DynamicCache()
    assert not transformers_packed.can_pack(model._model, cache)
