"""Long work in child processes: queued, watched, stopped, resumed.

The app holds the one `Jobs` that is started; whatever else opens the workspace may submit,
read and stop.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import Conflict, InvalidInput
from core.home import Home
from core.job_scheduler import Patience, Scheduler
from core.job_store import ACTIVE, Job, JobState, JobStore

__all__ = ["Job", "JobState", "Jobs", "Patience"]


class Jobs:
    """All jobs of a workspace."""

    def __init__(
        self, home: Home, modules: Mapping[str, str], patience: Patience | None = None
    ) -> None:
        """`modules` names what `python -m` runs for a kind, e.g. `{"train": "training.jobs"}`."""
        self._modules = dict(modules)
        self._store = JobStore(home.database)
        self._scheduler = Scheduler(home, self._store, self._modules, patience or Patience())

    def submit(
        self, kind: str, payload: dict[str, Any], *, title: str, account_id: int | None = None
    ) -> int:
        """Queue a job and return its id.

        Args:
            kind: one of the kinds given to `Jobs`.
            payload: JSON for the handler; the same again when the job is resumed.
            title: what people see in lists.
            account_id: who asked for it.

        Raises:
            InvalidInput: an unknown kind.
        """
        if kind not in self._modules:
            known = ", ".join(sorted(self._modules))
            raise InvalidInput(f"There is no kind of job '{kind}'. Use one of: {known}.")
        job_id = self._store.add(kind, payload, title, account_id)
        self._scheduler.wake()
        return job_id

    def get(self, job_id: int) -> Job:
        """Return a job.

        Raises:
            NotFound: there is none with this id.
        """
        return self._store.get(job_id)

    def list(self, kind: str | None = None, limit: int = 50) -> list[Job]:
        """Return the newest jobs first, of one kind or all."""
        return self._store.newest(kind, limit)

    def unsettled(self) -> Sequence[Job]:
        """Return all jobs that wait, run or failed, oldest first: what they need must stay."""
        return self._store.in_states(ACTIVE | {JobState.FAILED})

    def log(self, job_id: int, lines: int = 200) -> str:
        """Return the newest `lines` of the job's log, oldest first, each with its UTC time."""
        return self._store.log(job_id, lines)

    def stop(self, job_id: int) -> None:
        """Ask a job to save and stop; a finished one is left as it is.

        Raises:
            NotFound: there is none with this id.
        """
        self._store.get(job_id)
        self._store.ask_stop(job_id)
        self._scheduler.wake()

    def try_again(self, job_id: int) -> None:
        """Queue a job that failed or was stopped once more; it goes on where it was.

        Raises:
            NotFound: there is none with this id.
            Conflict: it waits, runs or has succeeded.
        """
        job = self._store.get(job_id)
        if not self._store.try_again(job_id):
            raise Conflict(f"Job {job_id} is {job.state}. Only one that failed can be tried again.")
        self._scheduler.wake()

    def start(self) -> None:
        """Adopt or settle jobs of an earlier run of the app, then work through the queue."""
        self._scheduler.start()

    def close(self) -> None:
        """Have running jobs save; they are queued again and go on at the next start."""
        self._scheduler.close()
