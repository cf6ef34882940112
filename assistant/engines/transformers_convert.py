"""Turns the embedded GGUF file into a folder that loads in seconds."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the weights of a GGUF file as bfloat16 safetensors, with tokenizer and template.

    Raises:
        OSError, ValueError, RuntimeError: the file is damaged or the disk full.
    """
    with quiet():
        # Without `dequantize` transformers keeps the blocks packed and refuses to save them.
        model = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent),
            gguf_file=gguf.name,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
            local_files_only=True,
        )
        model.save_pretrained(str(folder))
        tokenizer = AutoTokenizer.from_pretrained(
            str(gguf.parent), gguf_file=gguf.name, local_files_only=True
        )
        tokenizer.save_pretrained(str(folder))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the library's bars and notes out of a command's output."""
    logging = transformers.utils.logging
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        # The GGUF reader draws its bar whatever the setting says.
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()
