"""What must be said to libraries before they are imported: nothing leaves this machine."""

import os
from pathlib import Path


def prepare_environment(uploads: Path, allow_downloads: bool) -> None:
    """Switch off what libraries would send or fetch, and keep arriving files in `uploads`."""
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": str(uploads / "arriving"),
        "GRADIO_RUN_HISTORY": "False",
        "GRADIO_MCP_SERVER": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }
    # Threads of torch that spin while they wait take the processor from each other.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if not allow_downloads:
        os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
