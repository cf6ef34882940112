"""Crowds and guessing at the sign-in: nobody is kept waiting or out, and nothing is forgotten."""

import asyncio
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import delete, select, update

from core.audit import Audit
from core.home import open_home
from core.passwords import Passwords
from core.permissions import Role
from core.tables import AccountRow, AuditRow, FamiliarAddressRow, SessionRow, SignInFailureRow
from tests.fakes import ScriptedModel
from tests.quick import QUICK, Exchanged
from tests.served import PASSWORD, make_app, running
from tests.waiting import PATIENCE_S, complete

CROWD = 240
HEALTHY_S = 10.0
"""A door that hangs took minutes. How quick it is, `benchmarks.crowds` measures."""


@dataclass
class Door:
    """A running application, and how passwords are hashed at its door."""

    app: Any
    services: Any
    url: str
    passwords: Exchanged


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    home = open_home(
        workspace=tmp_path_factory.mktemp("door") / "workspace", port=1,
        trusted_proxies="127.0.0.1", evidence_finder="off", rag_reader="off",
    )  # fmt: skip
    passwords = Exchanged()
    app, services = make_app(home, ScriptedModel(), passwords=passwords)
    with running(app) as url:
        yield Door(app, services, url, passwords)


def begin(door: Door, passwords: Passwords) -> None:
    """The boss has an account, and nobody has signed in or failed to."""
    door.passwords.by = passwords
    with door.services.home.database.session() as session:
        for row in (SignInFailureRow, FamiliarAddressRow, SessionRow, AuditRow, AccountRow):
            session.execute(delete(row))
    door.services.accounts.create("boss", PASSWORD, Role.ADMIN)


@pytest.fixture
def door(opened: Door) -> Door:
    """As nobody has come to it yet; a hash costs what it costs by default."""
    begin(opened, Passwords())
    return opened


@pytest.fixture
def quick(opened: Door) -> Door:
    """The same, for who waits and not for what a hash costs."""
    begin(opened, QUICK)
    return opened


async def one_sign_in(port: int, path: str, name: str, address: str) -> int:
    """Send one sign-in with a wrong password over a connection of its own; return the status."""
    fields = {"name": name, "password": "no such password"}
    if path.startswith("/api"):
        kind, body = "application/json", httpx.Request("POST", "http://x", json=fields).content
    else:
        kind, body = "application/x-www-form-urlencoded", urlencode(fields).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-forwarded-for: {address}\r\n"
        f"content-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body)
    answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()
    return int(answer.split()[1])


def crowd(url: str, path: str, who: Callable[[int], tuple[str, str]]) -> Counter[int]:
    """Send all sign-ins at once; `who` gives name and address of each."""
    port = httpx.URL(url).port
    assert port is not None

    async def send() -> list[int]:
        return await asyncio.gather(
            *(one_sign_in(port, path, *who(number)) for number in range(CROWD))
        )

    return Counter(complete(send()))


def slowest_health(url: str, until: threading.Event) -> float:
    """Ask for the health again and again; return the longest wait."""
    worst = 0.0
    connection = http.client.HTTPConnection("127.0.0.1", httpx.URL(url).port, timeout=PATIENCE_S)
    while not until.is_set():
        started = time.monotonic()
        connection.request("GET", "/api/health")
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        worst = max(worst, time.monotonic() - started)
        until.wait(0.1)
    return worst


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/sign-in", lambda n: (f"nobody{n}", "203.0.113.1")),
        ("/api/sign-in", lambda n: ("boss", "203.0.113.1")),
        ("/api/sign-in", lambda n: (f"nobody{n}", f"203.0.113.{n}")),
        ("/sign-in", lambda n: ("boss", f"203.0.113.{n}")),
    ],
    ids=["many names", "one name", "many names from everywhere", "one name from everywhere"],
)
def test_a_crowd_at_the_door_stops_nobody_else(
    door: Door, path: str, who: Callable[[int], tuple[str, str]]
) -> None:
    door.services.accounts.sign_in("boss", PASSWORD, "198.51.100.9")
    over = threading.Event()
    worst: list[float] = []
    watcher = threading.Thread(target=lambda: worst.append(slowest_health(door.url, over)))
    watcher.start()
    try:
        statuses = crowd(door.url, path, who)
    finally:
        over.set()
        watcher.join(PATIENCE_S)
    assert set(statuses) <= {401, 429}
    assert statuses[401] >= 1
    assert statuses[429] > CROWD / 2
    assert worst[0] < HEALTHY_S
    body = {"name": "boss", "password": PASSWORD}
    known = {"x-forwarded-for": "198.51.100.9"}
    assert httpx.post(f"{door.url}/api/sign-in", json=body, headers=known).status_code == 200
    # Who was refused without a check leaves no trace that could fill the disk.
    with door.services.home.database.session() as session:
        failed = session.scalars(select(AuditRow).where(AuditRow.action == "sign_in.failed")).all()
    assert len(failed) == statuses[401]


def client(served: Any, peer: str) -> httpx.AsyncClient:
    """A client whose requests come from `peer`."""
    transport = httpx.ASGITransport(app=served, client=(peer, 5))
    return httpx.AsyncClient(transport=transport, base_url="http://x")


async def sign_in(
    served: Any, peer: str, name: str, password: str, forwarded: str = ""
) -> httpx.Response:
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    async with client(served, peer) as web:
        form = {"name": name, "password": password}
        return await web.post("/sign-in", data=form, headers=headers)


def test_guessing_elsewhere_keeps_the_admin_neither_out_nor_from_a_new_password(
    quick: Door,
) -> None:
    served, services = quick.app, quick.services
    token = services.accounts.sign_in("boss", PASSWORD, "198.51.100.9")

    async def attack() -> None:
        said = [await sign_in(served, "203.0.113.7", "boss", f"guess {n}") for n in range(7)]
        assert [one.status_code for one in said[:5]] == [401] * 5
        late = next(one for one in said if one.status_code == 429)
        assert int(late.headers["retry-after"]) >= 1
        assert "Try again in " in late.text
        assert late.headers["content-type"].startswith("text/html")
        for address in ("198.51.100.9", "192.0.2.44"):
            assert (await sign_in(served, address, "boss", PASSWORD)).status_code == 303
        own = {"old": PASSWORD, "new": "violet trains at dusk", "again": "violet trains at dusk"}
        async with client(served, "203.0.113.7") as web:
            web.cookies.set("inhouse_session", token)
            assert (await web.post("/password", data=own)).status_code == 303

    complete(attack())


def test_the_address_is_the_clients_only_where_the_proxy_is_trusted(quick: Door) -> None:
    served, services = quick.app, quick.services

    async def send() -> None:
        await sign_in(served, "127.0.0.1", "eve", "x", "203.0.113.7")
        await sign_in(served, "::ffff:127.0.0.1", "eve", "x", "1.2.3.4, 203.0.113.8")
        await sign_in(served, "198.51.100.1", "eve", "x", "203.0.113.9")

    complete(send())
    addresses = [one.detail["address"] for one in Audit(services.home.database).entries(3)]
    assert addresses == ["198.51.100.1", "203.0.113.8", "203.0.113.7"]


def test_a_restart_forgets_no_failure(quick: Door) -> None:
    served, services = quick.app, quick.services

    async def guess(served: Any, times: int) -> list[int]:
        said = [await sign_in(served, "203.0.113.7", "boss", f"guess {n}") for n in range(times)]
        return [one.status_code for one in said]

    assert complete(guess(served, 5)) == [401] * 5
    # Seven more, each after its pause.
    with services.home.database.session() as session:
        session.execute(update(SignInFailureRow).values(failures=SignInFailureRow.failures + 7))
    again, others = make_app(services.home, ScriptedModel())
    try:
        assert complete(guess(again, 2)) == [429, 429]
    finally:
        others.sign_ins.close()
