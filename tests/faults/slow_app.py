"""The application in a process of its own, with a model that never ends by itself.

`python -m tests.faults.slow_app WORKSPACE PORT`
"""

import sys
from pathlib import Path

from app import listening, serve
from assistant.answering import Assistant
from assistant.shelf import Shelf
from core.home import open_home
from core.lock import serving
from retrieval.service import open_retrieval
from tests.fakes import HashingEmbedder
from tests.slow_model import SlowModel
from ui.environment import prepare_environment


def main(workspace: Path, port: int) -> None:
    """Serve until a signal comes."""
    home = open_home(workspace=workspace, port=port, evidence_finder="off", rag_reader="off")
    with listening(home.settings) as listener, serving(home.workspace):
        prepare_environment(home.workspace.uploads, allow_downloads=False)
        from ui.services import open_services

        retrieval = open_retrieval(home, HashingEmbedder())
        model = SlowModel()
        assistant = Assistant(model, retrieval.retriever, Shelf(home), home.settings)
        serve(open_services(home, retrieval, assistant), listener)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
