"""The brake on guessing: failed sign-ins bring pauses that grow, and never a lock.

Failures are counted three ways: of a name from one address, of an address whatever the name, and
of a name from everywhere. From an address where the account has signed in before only the first
counts, so nobody who guesses elsewhere can keep its owner out. All of it is in the database, for
every process and across restarts.
"""

import contextlib
import hashlib
import ipaddress
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.database import Database, now
from core.errors import SignInFailed, TooManyRequests
from core.settings import Settings
from core.tables import AccountRow, FamiliarAddressRow, SignInFailureRow
from core.values import storable

STRIPES = 64
FORGOTTEN_AFTER = timedelta(days=1)
"""Without a failure for so long, counting starts anew."""
MOST_COUNTERS = 10_000
"""Counters kept; a flood of names pushes out the oldest instead of filling the disk."""
FAMILIAR_FOR = timedelta(days=90)
MOST_FAMILIAR = 20
"""Addresses remembered of one account."""

# An address may stand for a whole office, a name for one person who mistypes.
ADDRESS_TIMES = 10
NAME_TIMES = 4
LONGEST_FOR_NAME_S = 30.0
"""A name that is guessed from many addresses stays open to its owner's new ones, with patience."""
_DOUBLINGS = 32


@dataclass(frozen=True)
class FailureCounter:
    """Failures of one kind: how many are free, and the longest pause after that."""

    name_sha256: str
    address: str
    free: int
    longest_s: float

    @property
    def key(self) -> tuple[str, str]:
        """What identifies its row."""
        return self.name_sha256, self.address

    def pause_s(self, failures: int) -> float:
        """Seconds to wait after so many failures: 1, 2, 4, … after the free ones."""
        if failures < self.free:
            return 0.0
        return float(min(self.longest_s, 2.0 ** min(failures - self.free, _DOUBLINGS)))


class GuessingBrake:
    """Counts each try before the password is checked and takes it back when it was right.

    So guesses made in parallel, in this process or another, cannot pass the count. Names nobody
    has are counted as those of accounts.
    """

    def __init__(
        self, database: Database, settings: Settings, clock: Callable[[], datetime] = now
    ) -> None:
        """Take the limits from `settings`; `clock` tells the present moment."""
        self._database = database
        self._clock = clock
        self._attempts = settings.sign_in_attempts
        self._longest_s = settings.lockout_minutes * 60
        self._stripes = [threading.Lock() for _ in range(STRIPES)]

    @contextlib.contextmanager
    def signing_in(self, key: str, address: str) -> Iterator[None]:
        """Around one check of a password; a `SignInFailed` from inside counts as a failure.

        Raises:
            TooManyRequests: this name or address has to wait; says how long.
        """
        name, network = digest(key), network_of(address)
        pair = FailureCounter(name, network, self._attempts, self._longest_s)
        others = [
            FailureCounter("", network, self._attempts * ADDRESS_TIMES, self._longest_s),
            FailureCounter(
                name, "", self._attempts * NAME_TIMES, min(self._longest_s, LONGEST_FOR_NAME_S)
            ),
        ]
        counters = [pair] if self._familiar(key, network) else [pair, *others]
        with self._one_try(counters):
            yield

    @contextlib.contextmanager
    def changing(self, account_id: int, session: str) -> Iterator[None]:
        """Around the check of the present password by a signed-in person.

        It has a count of its own: guessing at the sign-in must not keep anybody from changing
        a password, and a stolen session must not try passwords without end.

        Raises:
            TooManyRequests: this session has to wait.
        """
        own = FailureCounter(digest(f"{account_id} {session}"), "", self._attempts, self._longest_s)
        with self._one_try([own]):
            yield

    def forget(self, key: str) -> None:
        """Clear a name's failures, from everywhere."""
        with self._database.session() as session:
            session.execute(
                delete(SignInFailureRow).where(SignInFailureRow.name_sha256 == digest(key))
            )

    @contextlib.contextmanager
    def _one_try(self, counters: Sequence[FailureCounter]) -> Iterator[None]:
        # One name at a time: right passwords typed in parallel must not brake each other.
        with self._stripes[int(counters[0].name_sha256, 16) % STRIPES]:
            counted = self._count(counters)
            try:
                yield
            except SignInFailed:
                self._failed(counted)
                raise
            self._take_back(counted)

    def _count(self, counters: Sequence[FailureCounter]) -> list[FailureCounter]:
        moment = self._clock()
        with self._database.session() as session:
            rows = _locked(session, counters, moment)
            for row in rows.values():
                if row.last_at < moment - FORGOTTEN_AFTER:
                    row.failures = 0
            _refuse_early(counters, rows, moment)
            first = counters[0]
            # One address alone cannot brake a name for all others.
            loud = rows[first.key].failures >= first.free
            counted = [one for one in counters if one is first or one.address or not loud]
            for one in counted:
                rows[one.key].failures += 1
                rows[one.key].last_at = moment
            return counted

    def _take_back(self, counters: Sequence[FailureCounter]) -> None:
        # Right once clears what was counted of this name from here; the rest goes back by one.
        table = SignInFailureRow
        with self._database.session() as session:
            session.execute(
                update(table)
                .where(_are(counters[1:]), table.failures > 0)
                .values(failures=table.failures - 1)
            )
            session.execute(delete(table).where(_are(counters[:1])))
            session.execute(delete(table).where(table.failures <= 0))

    def _failed(self, counters: Sequence[FailureCounter]) -> None:
        table = SignInFailureRow
        moment = self._clock()
        with self._database.session() as session:
            # The pause begins now: the check itself may have taken as long.
            session.execute(update(table).where(_are(counters)).values(last_at=moment))
            session.execute(delete(table).where(table.last_at < moment - FORGOTTEN_AFTER))
            newest = select(table.last_at).order_by(table.last_at.desc())
            oldest = session.scalar(newest.offset(MOST_COUNTERS).limit(1))
            if oldest is not None:
                session.execute(delete(table).where(table.last_at <= oldest))

    def _familiar(self, key: str, network: str) -> bool:
        query = (
            select(FamiliarAddressRow.account_id)
            .join(AccountRow, AccountRow.id == FamiliarAddressRow.account_id)
            .where(
                AccountRow.name_key == key,
                FamiliarAddressRow.address == network,
                FamiliarAddressRow.last_at > self._clock() - FAMILIAR_FOR,
            )
        )
        with self._database.session() as session:
            return session.scalar(query) is not None


def remember_address(session: Session, account_id: int, address: str, moment: datetime) -> None:
    """Note that an account signed in from `address`, in the transaction that opens its session."""
    table = FamiliarAddressRow
    network = network_of(address)
    insert = _insert(session)(table).values(account_id=account_id, address=network, last_at=moment)
    session.execute(
        insert.on_conflict_do_update(
            index_elements=[table.account_id, table.address], set_={"last_at": moment}
        )
    )
    mine = table.account_id == account_id
    newest = select(table.last_at).where(mine).order_by(table.last_at.desc())
    oldest = session.scalar(newest.offset(MOST_FAMILIAR).limit(1))
    if oldest is not None:
        session.execute(delete(table).where(mine, table.last_at <= oldest))


def network_of(address: str) -> str:
    """Return what one visitor can speak from: an IPv4 address, or the /64 around an IPv6 one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return storable(address, 64)
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((int(found), 64), strict=False))
        found = found.ipv4_mapped
    return str(found)


def digest(text: str) -> str:
    """Return the SHA-256 of any text, also of one that cannot be encoded."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def spoken(seconds: float) -> str:
    """Say how long to wait: `1 second`, `40 seconds`, `8 minutes`."""
    if seconds <= 90:
        count, unit = max(1, round(seconds)), "second"
    else:
        count, unit = round(seconds / 60), "minute"
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _refuse_early(
    counters: Sequence[FailureCounter],
    rows: dict[tuple[str, str], SignInFailureRow],
    moment: datetime,
) -> None:
    wait = 0.0
    for one in counters:
        pause = one.pause_s(rows[one.key].failures)
        # A clock that was set back must not make a pause longer than it was.
        passed = max(0.0, (moment - rows[one.key].last_at).total_seconds())
        wait = max(wait, pause - passed)
    if wait > 0:
        raise TooManyRequests(
            f"There were several failed tries. Try again in {spoken(wait)} "
            f"(after {moment + timedelta(seconds=wait):%H:%M:%S} UTC).",
            wait,
        )


def _locked(
    session: Session, counters: Sequence[FailureCounter], moment: datetime
) -> dict[tuple[str, str], SignInFailureRow]:
    """Return the counters' rows, made where missing, locked until the transaction ends."""
    table = SignInFailureRow
    # In one order everywhere, so that two transactions cannot wait for each other.
    ordered = sorted(counters, key=lambda one: one.key)
    values = [
        {
            "name_sha256": one.name_sha256, "address": one.address, "failures": 0,
            "last_at": moment,
        }
        for one in ordered
    ]  # fmt: skip
    # The insert comes first: on SQLite it takes the write lock before anything is read.
    session.execute(_insert(session)(table).values(values).on_conflict_do_nothing())
    query = (
        select(table)
        .where(_are(counters))
        .order_by(table.name_sha256, table.address)
        .with_for_update()
    )
    return {(row.name_sha256, row.address): row for row in session.scalars(query)}


def _are(counters: Sequence[FailureCounter]) -> ColumnElement[bool]:
    row = tuple_(SignInFailureRow.name_sha256, SignInFailureRow.address)
    return row.in_([one.key for one in counters])


def _insert(session: Session) -> Callable[..., sqlite.Insert | postgresql.Insert]:
    return postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
