"""Brings a model and its tokenizer into memory. With its neighbour the only users of torch here."""

import os
import time
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from assistant.engines.source import ModelSource
from assistant.engines.transformers_convert import quiet
from core.errors import EngineError
from core.settings import Settings

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True)
class Loaded:
    """A model ready to run."""

    model: Any
    tokenizer: Any
    device: torch.device
    dtype: torch.dtype
    name: str
    """Identity of model, weights, dtype and quantisation."""


def load(source: ModelSource, settings: Settings, *, training: bool = False) -> Loaded:
    """Load `source` as the settings say.

    The dtype `auto`: on a GPU bfloat16 where the card has it. On the CPU float32, in which answers
    are the same on every machine, in a batch or alone; bfloat16 for training where it is faster,
    and for weights that float32 would not fit into memory.

    Raises:
        EngineError: the files, the device or bitsandbytes do not serve; with the remedy.
    """
    device = _device(settings)
    dtype = _dtype(settings, device, source, training=training)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                str(source.folder), local_files_only=True, trust_remote_code=False
            )
            model = AutoModelForCausalLM.from_pretrained(
                str(source.folder),
                dtype=dtype,
                device_map={"": device},
                quantization_config=_quantization(settings, dtype),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
    except torch.cuda.OutOfMemoryError as error:
        raise EngineError(
            f"The language model '{source.name}' does not fit into the GPU's memory. "
            "Set INHOUSE_QUANTIZATION=4bit, or name a smaller model with INHOUSE_MODEL."
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        raise EngineError(
            f"The language model '{source.name}' in '{source.folder}' cannot be loaded "
            f"(dtype {settings.dtype}, quantization {settings.quantization}, {device}): {error}. "
            "Check the folder, INHOUSE_DTYPE and INHOUSE_QUANTIZATION, "
            "or set INHOUSE_MODEL=embedded."
        ) from error
    if not tokenizer.chat_template:
        raise EngineError(
            f"The language model '{source.name}' has no chat template, so it cannot hold a "
            "conversation. Name an instruction-tuned model with INHOUSE_MODEL."
        )
    model.eval().requires_grad_(False)
    kind = str(dtype).removeprefix("torch.")
    quantized = "" if settings.quantization == "none" else f" {settings.quantization}"
    name = f"{source.name} {kind}{quantized} {source.hash[:12]}"
    return Loaded(model, tokenizer, device, dtype, name)


def _device(settings: Settings) -> torch.device:
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise EngineError(
            "INHOUSE_DEVICE=cuda, but torch sees no CUDA GPU here. "
            "Set INHOUSE_DEVICE=cpu, or install a CUDA build of torch and the driver."
        )
    wants_cuda = settings.device == "cuda" or (
        settings.device == "auto" and torch.cuda.is_available()
    )
    return torch.device("cuda:0" if wants_cuda else "cpu")


def _dtype(
    settings: Settings, device: torch.device, source: ModelSource, *, training: bool
) -> torch.dtype:
    if settings.dtype != "auto":
        return _DTYPES[settings.dtype]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return torch.float32
    stored = sum(file.stat().st_size for file in source.folder.glob("*.safetensors"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    large = stored * 2 > memory // 2
    return torch.bfloat16 if large or (training and _bf16_speed() > 1.3) else torch.float32


def _bf16_speed() -> float:
    """How many times as fast as float32 a matrix product is in bfloat16, on one core: 40 ms.

    Having the instructions says little: of two machines with AVX512-bf16 one was measured at
    2.2 and one at 0.5. Counts this thread's own time, so that other work does not disturb it.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = []
        for dtype in (torch.float32, torch.bfloat16):
            left, right = torch.ones(512, 576, dtype=dtype), torch.ones(576, 1536, dtype=dtype)
            laps = []
            for _ in range(5):
                start = time.thread_time()
                torch.mm(left, right)
                laps.append(time.thread_time() - start)
            seconds.append(min(laps))
    finally:
        torch.set_num_threads(threads)
    return seconds[0] / seconds[1]


def _quantization(settings: Settings, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    if settings.quantization == "none":
        return None
    if settings.quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    # NF4 with double quantisation, as in QLoRA (Dettmers et al., 2305.14314).
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
