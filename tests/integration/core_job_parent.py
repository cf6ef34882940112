"""An app in a process of its own, for tests that kill it: starts jobs and waits."""

import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core.home import open_home
from core.jobs import Jobs, Patience
from tests.waiting import PATIENCE_S

MODULES = {"work": "tests.integration.core_job_handler"}


def work(root: Path, url: str, payload: dict[str, Any], door: Connection) -> None:
    """Submit a job with the payload and tell its id; run until killed."""
    home = open_home(workspace=root, database_url=url)
    jobs = Jobs(home, MODULES, Patience(poll=0.05))
    job_id = jobs.submit("work", payload, title="of a parent to be killed")
    jobs.start()
    door.send(job_id)
    threading.Event().wait(PATIENCE_S)
