"""An app in a process of its own, for tests that kill it: starts jobs and waits."""

import json
import sys
import threading
from pathlib import Path

from core.home import open_home
from core.jobs import Jobs, Patience

MODULES = {"work": "tests.integration.core_job_handler"}


def main() -> None:
    """Submit a job with the payload in argv[3] and print its id; run until killed."""
    home = open_home(workspace=Path(sys.argv[1]), database_url=sys.argv[2])
    jobs = Jobs(home, MODULES, Patience(poll=0.05))
    job_id = jobs.submit("work", json.loads(sys.argv[3]), title="of a parent to be killed")
    jobs.start()
    sys.stdout.write(f"{job_id}\n")
    sys.stdout.flush()
    threading.Event().wait(120)


if __name__ == "__main__":
    main()
