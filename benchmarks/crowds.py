"""Claim: 45 questions and 240 sign-ins at once leave `/healthz` under half a second.

Peer, in the same run: the same application with nobody else at the door. The real application is
started with the real models on a workspace of its own; times are of whole requests, on a clock.

    python -m benchmarks.crowds [--asks 45] [--sign-ins 240]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import httpx

from core.accounts import Accounts
from core.home import open_home
from core.permissions import Role
from tests.running import PASSWORD, RunningApp

PAUSE_S = 0.05
LONGEST_S = 120.0
CROWD_S = 45.0
"""How long the crowd stays; questions that still wait then are taken back."""


class Health:
    """Asks for health without a break and keeps how long each answer took."""

    def __init__(self, url: str) -> None:
        self.seconds: list[float] = []
        self._url = url

    async def watch(self) -> None:
        """Until cancelled."""
        async with httpx.AsyncClient(base_url=self._url, timeout=LONGEST_S) as client:
            while True:
                started = time.monotonic()
                (await client.get("/healthz")).raise_for_status()
                self.seconds.append(time.monotonic() - started)
                await asyncio.sleep(PAUSE_S)

    def said(self) -> str:
        """Median and slowest, in milliseconds."""
        median, slowest = statistics.median(self.seconds), max(self.seconds)
        return (
            f"median {median * 1e3:.0f} ms, slowest {slowest * 1e3:.0f} ms of {len(self.seconds)}"
        )


async def crowd(url: str, asks: int, sign_ins: int) -> None:
    """Measure alone, then with everybody at the door."""
    async with httpx.AsyncClient(
        base_url=url, timeout=LONGEST_S, limits=httpx.Limits(max_connections=400)
    ) as client:
        form = {"name": "anna", "password": PASSWORD}
        token = (await client.post("/api/sign-in", json=form)).json()["token"]
        bearer = {"authorization": f"Bearer {token}"}
        alone, among = Health(url), Health(url)
        await measured(alone, asyncio.sleep(3))
        bodies = [{"question": f"Who founded the company? {n}", "mode": "rag"} for n in range(asks)]
        wrong = [{"name": f"nobody{n % 7}", "password": f"guess {n}"} for n in range(sign_ins)]
        asked = [client.post("/api/ask", json=body, headers=bearer) for body in bodies]
        signed = [client.post("/api/sign-in", json=body) for body in wrong]
        tasks = [asyncio.ensure_future(one) for one in (*asked, *signed)]
        await measured(among, asyncio.wait(tasks, timeout=CROWD_S))
        told = [str(one.result().status_code) if one.done() else "waiting" for one in tasks]
        for one in tasks:
            one.cancel()
    print(f"nobody else: {alone.said()}")
    print(f"the crowd:   {among.said()}")
    for what, part in (("questions", told[:asks]), ("sign-ins", told[asks:])):
        print(f"{what}: {dict(Counter(part))}")


async def measured(health: Health, work: Awaitable[Any]) -> Any:
    """Watch health while `work` is done."""
    watching = asyncio.create_task(health.watch())
    try:
        return await work
    finally:
        watching.cancel()


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
            asyncio.run(crowd(app.url, given.asks, given.sign_ins))


if __name__ == "__main__":
    main()
