"""LoRA adapters inside one loaded model: which are in memory, and which one is on."""

import warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, PeftModel, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from safetensors.torch import load_file

from assistant.engines.adapter_files import check_adapter
from assistant.engines.base import AdapterRef
from assistant.engines.source import ModelSource
from assistant.engines.transformers_linear import lean_lora
from assistant.manifest import WEIGHTS
from core.errors import AdapterError

_UNFIT = (OSError, SafetensorError, ValueError, RuntimeError, TypeError, KeyError)


@dataclass(frozen=True)
class AdapterWeights:
    """An adapter read from disk and checked."""

    config: LoraConfig
    tensors: dict[str, torch.Tensor]


class Adapters:
    """Keeps the newest few adapters on the model and switches between them.

    `read` takes long and touches no model: any thread may call it. For `activate` the caller
    holds the model's lock, until the forward pass is over.
    """

    def __init__(self, model: Any, source: ModelSource, dtype: torch.dtype, limit: int = 8) -> None:
        """`limit`: most adapters in memory; the one unused for longest goes first."""
        self._model = model
        self._source = source
        self._dtype = dtype
        self._limit = limit
        self._peft: PeftModel | None = None
        self._layers: list[BaseTunerLayer] = []
        self._loaded: OrderedDict[AdapterRef, str] = OrderedDict()
        self._made = 0
        self._active: str | None = None

    def read(self, adapter: AdapterRef) -> AdapterWeights:
        """Check the files of an adapter and read them.

        Raises:
            AdapterError: missing, damaged, or made for another model.
        """
        fields = check_adapter(adapter, self._source)
        try:
            tensors = load_file(str(adapter.path / WEIGHTS))
            return AdapterWeights(LoraConfig(**_known(fields)), tensors)
        except _UNFIT as error:
            raise self._does_not_fit(adapter, error) from error

    def activate(self, adapter: AdapterRef | None, weights: AdapterWeights | None) -> bool:
        """Make the next forward pass use `adapter`, or the plain model.

        Args:
            adapter: which; None: the plain model.
            weights: what `read` returned, for one that is not on the model yet.

        Returns:
            False if it is not on the model and its weights were not given.

        Raises:
            AdapterError: it does not fit the model, which is unchanged.
        """
        if adapter is None:
            self._switch(None)
            return True
        # The reference holds the weights' hash: a retrained adapter of the same name is another.
        if adapter not in self._loaded:
            if weights is None:
                return False
            self._made += 1
            self._load(adapter, weights, f"adapter{self._made}")
        self._loaded.move_to_end(adapter)
        self._switch(self._loaded[adapter])
        return True

    def _switch(self, key: str | None) -> None:
        if key == self._active:
            return
        # Layer by layer: PeftModel.set_adapter walks all modules of the model every time.
        for layer in self._layers:
            if key is None:
                layer.enable_adapters(False)
            else:
                layer._disable_adapters = False
                layer.set_adapter(key, inference_mode=True)
        self._active = key

    def _load(self, adapter: AdapterRef, weights: AdapterWeights, key: str) -> None:
        self._forget_oldest()
        self._active = "unknown"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._inject(weights.config, key)
            result = set_peft_model_state_dict(self._peft, weights.tensors, adapter_name=key)
            missing = [name for name in result.missing_keys if f".{key}." in name]
            if missing or result.unexpected_keys:
                raise ValueError(f"tensors do not match: {(missing or result.unexpected_keys)[:2]}")
        except _UNFIT as error:
            self._remove(key)
            raise self._does_not_fit(adapter, error) from error
        self._layers = [m for m in self._model.modules() if isinstance(m, BaseTunerLayer)]
        for layer in self._layers:
            lean_lora(layer)
            for part in (layer.lora_A, layer.lora_B):
                if key in part:
                    part[key].to(self._dtype).requires_grad_(False)
        self._loaded[adapter] = key

    def _does_not_fit(self, adapter: AdapterRef, error: Exception) -> AdapterError:
        return AdapterError(
            f"The adapter '{adapter.name}' in '{adapter.path}' does not fit the model "
            f"'{self._source.name}' or is damaged: {str(error)[:300]}. "
            "Choose another adapter, or train one on this model."
        )

    def _inject(self, config: LoraConfig, key: str) -> None:
        if self._peft is None:
            self._peft = PeftModel(
                self._model, config, adapter_name=key, autocast_adapter_dtype=False
            )
        else:
            self._peft.add_adapter(key, config, autocast_adapter_dtype=False)
        self._model.eval()

    def _forget_oldest(self) -> None:
        while len(self._loaded) >= self._limit:
            _, key = self._loaded.popitem(last=False)
            self._remove(key)

    def _remove(self, key: str) -> None:
        self._active = "unknown"
        if self._peft is None:
            return
        if key in self._peft.peft_config:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._peft.delete_adapter(key)
        self._layers = [m for m in self._model.modules() if isinstance(m, BaseTunerLayer)]
        self._switch(None)


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    known = LoraConfig.__dataclass_fields__
    kept = {name: value for name, value in fields.items() if name in known}
    # PiSSA and its kin rewrite the base weights when they are initialised; these are trained.
    return {**kept, "init_lora_weights": True, "inference_mode": True}
