"""Claim: 45 questions and 240 sign-ins at once leave `/healthz` under half a second.

Peer, in the same run: the same application with nobody else at the door. The real application is
started with the real models on a workspace of its own; times are of whole requests, on a clock.

    python -m benchmarks.crowds [--asks 45] [--sign-ins 240]
"""

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from core.accounts import Accounts
from core.home import open_home
from core.permissions import Role
from tests.running import PASSWORD, RunningApp

PAUSE_S = 0.05
LONGEST_S = 120.0
CROWD_S = 45.0
"""How long the crowd stays; questions that still wait then are taken back."""


@dataclass(frozen=True)
class Health:
    """How long answers to `/healthz` took, in seconds."""

    seconds: list[float]

    def __str__(self) -> str:
        """Median and slowest, in milliseconds."""
        median, slowest = statistics.median(self.seconds), max(self.seconds)
        return f"median {median * 1e3:.0f} ms, slowest {slowest * 1e3:.0f} ms, {len(self.seconds)}"


def watch(url: str, seconds: float) -> Health:
    """Ask for health again and again; in a process of its own, which the crowd leaves alone."""
    found = []
    end = time.monotonic() + seconds
    with httpx.Client(base_url=url, timeout=LONGEST_S) as client:
        while time.monotonic() < end:
            started = time.monotonic()
            client.get("/healthz").raise_for_status()
            found.append(time.monotonic() - started)
            time.sleep(PAUSE_S)
    return Health(found)


async def crowd(url: str, asks: int, sign_ins: int) -> list[str]:
    """Send everybody to the door; return the status of each, 'waiting' where none came."""
    async with httpx.AsyncClient(
        base_url=url, timeout=LONGEST_S, limits=httpx.Limits(max_connections=400)
    ) as client:
        form = {"name": "anna", "password": PASSWORD}
        token = (await client.post("/api/sign-in", json=form)).json()["token"]
        bearer = {"authorization": f"Bearer {token}"}
        bodies = [{"question": f"Who founded the company? {n}", "mode": "rag"} for n in range(asks)]
        wrong = [{"name": f"nobody{n % 7}", "password": f"guess {n}"} for n in range(sign_ins)]
        asked = [client.post("/api/ask", json=body, headers=bearer) for body in bodies]
        signed = [client.post("/api/sign-in", json=body) for body in wrong]
        tasks = [asyncio.ensure_future(one) for one in (*asked, *signed)]
        await asyncio.wait(tasks, timeout=CROWD_S)
        told = [str(one.result().status_code) if one.done() else "waiting" for one in tasks]
        for one in tasks:
            one.cancel()
        return told


def main() -> None:
    """Start the application, then the crowd."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asks", type=int, default=45)
    parser.add_argument("--sign-ins", type=int, default=240)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        home = open_home(workspace=workspace)
        accounts = Accounts(home.database, home.settings)
        accounts.create("boss", PASSWORD, Role.ADMIN)
        accounts.create("anna", PASSWORD, Role.EMPLOYEE)
        home.database.close()
        with RunningApp(workspace) as app:
            deadline = time.monotonic() + LONGEST_S
            while httpx.get(f"{app.url}/readyz").status_code != 200 and time.monotonic() < deadline:
                time.sleep(0.2)
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as beside:
                print("nobody else:", beside.submit(watch, app.url, 3.0).result())
                among = beside.submit(watch, app.url, CROWD_S)
                told = asyncio.run(crowd(app.url, given.asks, given.sign_ins))
                print("the crowd:  ", among.result())
            for what, part in (("questions", told[: given.asks]), ("sign-ins", told[given.asks :])):
                print(f"{what}: {dict(Counter(part))}")


if __name__ == "__main__":
    main()
