"""What the model libraries must be told before they are first imported."""

import logging
import os


def prepare_libraries(*, allow_downloads: bool) -> None:
    """Set what they read when they are imported, for this process and those it starts.

    Forbids the Hugging Face libraries every connection, unless downloads are allowed.
    """
    # Threads that wait sleep soon instead of spinning: on a machine with other work, spinning
    # holds the core that the awaited thread needs (measured: half the speed, thrice the CPU).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Nothing here is compiled. Importing the compiler, as bitsandbytes does, takes an eighth of
    # a start, and what it compiles would need a C++ compiler on the firm's machine.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if not allow_downloads:
        for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
            os.environ[variable] = "1"
