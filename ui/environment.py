"""What must be said to libraries before they are imported: nothing leaves this machine."""

import os
from pathlib import Path

from core.libraries import prepare_libraries


def prepare_environment(uploads: Path, allow_downloads: bool) -> None:
    """Switch off what libraries would send or fetch, and keep arriving files in `uploads`."""
    prepare_libraries(allow_downloads=allow_downloads)
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": str(uploads / "arriving"),
        "GRADIO_RUN_HISTORY": "False",
        "GRADIO_MCP_SERVER": "False",
        # Gradio sums up its last 10,000 events after each one, for a page that is closed here.
        "GRADIO_ANALYTICS_MAX_EVENTS": "1",
        "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9),
        "DO_NOT_TRACK": "1",
    }
