"""Guessed passwords: who waits, how long, and that no owner is kept out; on both databases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from core.accounts import Accounts
from core.audit import Audit
from core.database import now
from core.errors import (
    InhouseError,
    SignInFailed,
    TooManyRequests,
)
from core.home import Home
from core.permissions import Role
from core.tables import FamiliarAddressRow, SignInFailureRow
from tests.quick import QUICK

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PASSWORD = "correct horse battery"
OTHER = "another long password"


@pytest.fixture
def accounts(any_home: Home) -> Accounts:
    return Accounts(any_home.database, any_home.settings, passwords=QUICK)


def fail(accounts: Accounts, name: str, address: str, times: int) -> str:
    """Try wrong passwords; return the last message."""
    for _ in range(times):
        with pytest.raises(InhouseError) as caught:
            accounts.sign_in(name, "wrong password", address)
    return caught.value.message


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.moment = now()

    def __call__(self) -> datetime:
        return self.moment

    def wait(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_known_and_unknown_names_wait_alike_and_ever_longer(
    any_home: Home, name: str, clock: Clock
) -> None:
    settings = any_home.settings.model_copy(update={"sign_in_attempts": 3})
    accounts = Accounts(any_home.database, settings, clock, QUICK)
    accounts.create("ada", PASSWORD, Role.EMPLOYEE)
    wrong = "Name or password is wrong. Try again, or ask an admin."
    assert fail(accounts, name, "10.9.9.9", 3) == wrong
    for pause in (1, 2, 4, 8):
        with pytest.raises(TooManyRequests, match="Try again in ") as caught:
            accounts.sign_in(name.upper(), PASSWORD, "10.9.9.9")
        assert caught.value.retry_after_s == pause
        clock.wait(pause)
        assert fail(accounts, name, "10.9.9.9", 1) == wrong
    clock.wait(16)
    if name == "ada":
        assert accounts.sign_in(name, PASSWORD, "10.9.9.9")
        with any_home.database.session() as session:
            assert "10.9.9.9" not in {
                row.address for row in session.scalars(select(SignInFailureRow)) if row.name_sha256
            }
    failed = [e for e in Audit(any_home.database).entries() if e.action == "sign_in.failed"]
    assert len(failed) == 7
    assert failed[0].detail["address"] == "10.9.9.9"


@ON_SQLITE
def test_a_wait_ends_at_the_longest_and_failures_are_forgotten(
    any_home: Home, clock: Clock
) -> None:
    settings = any_home.settings.model_copy(update={"sign_in_attempts": 1, "lockout_minutes": 0.1})
    accounts = Accounts(any_home.database, settings, clock, QUICK)
    accounts.create("ada", PASSWORD, Role.EMPLOYEE)
    for _ in range(8):
        fail(accounts, "ada", "10.0.0.1", 1)
        clock.wait(6)
    fail(accounts, "ada", "10.0.0.1", 1)
    with pytest.raises(TooManyRequests) as caught:
        accounts.sign_in("ada", PASSWORD, "10.0.0.1")
    assert caught.value.retry_after_s == 6
    clock.wait(25 * 3600)
    fail(accounts, "ada", "10.0.0.1", 1)
    with pytest.raises(TooManyRequests) as caught:
        accounts.sign_in("ada", PASSWORD, "10.0.0.1")
    assert caught.value.retry_after_s == 1


def test_who_guesses_elsewhere_keeps_no_owner_out(accounts: Accounts) -> None:
    accounts.create("root", PASSWORD, Role.ADMIN)
    assert "Try again in" in fail(accounts, "root", "203.0.113.7", 12)
    assert accounts.sign_in("root", PASSWORD, "192.0.2.1")


def test_a_guess_from_many_addresses_is_slowed_but_not_for_known_ones(
    any_home: Home, clock: Clock
) -> None:
    settings = any_home.settings.model_copy(update={"sign_in_attempts": 2})
    accounts = Accounts(any_home.database, settings, clock, QUICK)
    account = accounts.create("root", PASSWORD, Role.ADMIN)
    token = accounts.sign_in("root", PASSWORD, "2001:db8:1:2::5")
    said = [fail(accounts, "root", f"203.0.113.{n}", 1) for n in range(10)]
    assert sum("Try again in" in message for message in said) == 2
    with pytest.raises(TooManyRequests) as caught:
        accounts.sign_in("root", PASSWORD, "192.0.2.1")
    assert caught.value.retry_after_s <= 30
    assert accounts.sign_in("root", PASSWORD, "2001:db8:1:2::77")
    accounts.change_password(account.id, PASSWORD, OTHER, keep=token)
    clock.wait(30)
    assert accounts.sign_in("root", OTHER, "192.0.2.1")


@ON_SQLITE
def test_one_address_that_tries_many_names_is_slowed(any_home: Home, clock: Clock) -> None:
    settings = any_home.settings.model_copy(update={"sign_in_attempts": 1})
    accounts = Accounts(any_home.database, settings, clock, QUICK)
    accounts.create("ada", PASSWORD, Role.EMPLOYEE)
    accounts.create("eve", PASSWORD, Role.EMPLOYEE)
    accounts.sign_in("ada", PASSWORD, "2001:db8::1")
    said = [fail(accounts, f"name{n}", f"2001:db8::{n:x}", 1) for n in range(12)]
    assert sum("Try again in" in message for message in said) == 2
    with pytest.raises(TooManyRequests):
        accounts.sign_in("eve", PASSWORD, "2001:db8::99")
    assert accounts.sign_in("ada", PASSWORD, "2001:db8::99")
    assert accounts.sign_in("eve", PASSWORD, "2001:db8:0:1::1")


def test_counts_outlive_the_process_and_refusals_leave_nothing(
    any_home: Home, clock: Clock
) -> None:
    settings = any_home.settings.model_copy(update={"sign_in_attempts": 2})
    fail(Accounts(any_home.database, settings, clock, QUICK), "ada", "10.0.0.1", 2)
    again = Accounts(any_home.database, settings, clock, QUICK)
    before = len(Audit(any_home.database).entries())
    assert "Try again in" in fail(again, "ada", "10.0.0.1", 5)
    assert len(Audit(any_home.database).entries()) == before


@ON_SQLITE
def test_the_oldest_counters_make_room(
    any_home: Home, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr("core.guessing.MOST_COUNTERS", 6)
    accounts = Accounts(any_home.database, any_home.settings, clock, QUICK)
    for number in range(8):
        fail(accounts, f"name{number}", f"10.0.0.{number}", 1)
        clock.wait(1)
    with any_home.database.session() as session:
        left = {row.address for row in session.scalars(select(SignInFailureRow))}
    assert left == {"", "10.0.0.6", "10.0.0.7"}


@ON_SQLITE
def test_an_account_remembers_a_bounded_number_of_addresses(
    any_home: Home, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.guessing.MOST_FAMILIAR", 2)
    accounts = Accounts(any_home.database, any_home.settings, clock, QUICK)
    account = accounts.create("ada", PASSWORD, Role.EMPLOYEE)
    for number in (1, 2, 1, 3):
        accounts.sign_in("ada", PASSWORD, f"10.0.0.{number}")
    with any_home.database.session() as session:
        left = {row.address for row in session.scalars(select(FamiliarAddressRow))}
    assert left == {"10.0.0.1", "10.0.0.3"}
    accounts.delete(account.id)
    with any_home.database.session() as session:
        assert session.scalars(select(FamiliarAddressRow)).all() == []


def test_parallel_guesses_do_not_pass_the_count(any_home: Home, clock: Clock) -> None:
    settings = any_home.settings.model_copy(update={"sign_in_attempts": 3})
    # Two services on one database, as two processes have.
    several = [Accounts(any_home.database, settings, clock, QUICK) for _ in range(2)]
    several[0].create("ada", PASSWORD, Role.EMPLOYEE)

    def guess(number: int) -> str:
        try:
            return several[number % 2].sign_in("ada", f"guess number {number}", "-")
        except InhouseError as error:
            return error.message

    with ThreadPoolExecutor(6) as pool:
        messages = list(pool.map(guess, range(8)))
    assert sum(message.startswith("Name or password") for message in messages) == 3


@ON_SQLITE
def test_many_right_sign_ins_at_once_lock_nobody(accounts: Accounts) -> None:
    accounts.create("ada", PASSWORD, Role.EMPLOYEE)
    with ThreadPoolExecutor(6) as pool:
        tokens = set(pool.map(lambda n: accounts.sign_in("ada", PASSWORD, str(n % 2)), range(12)))
    assert len(tokens) == 12


def test_admin_resets_a_password_and_unlocks(any_home: Home, clock: Clock) -> None:
    settings = any_home.settings.model_copy(update={"sign_in_attempts": 1})
    accounts = Accounts(any_home.database, settings, clock, QUICK)
    account = accounts.create("ada", PASSWORD, Role.EMPLOYEE)
    token = accounts.sign_in("ada", PASSWORD, "-")
    with pytest.raises(SignInFailed, match="present password"):
        accounts.change_password(account.id, "not the old one", OTHER, keep=token)
    with pytest.raises(TooManyRequests, match="Try again in 1 second "):
        accounts.change_password(account.id, PASSWORD, OTHER, keep=token)
    fail(accounts, "ada", "10.0.0.1", 2)
    accounts.set_password(account.id, OTHER, actor="root")
    assert accounts.by_token(token) is None
    found = accounts.by_token(accounts.sign_in("ada", OTHER, "10.0.0.1"))
    assert found is not None
    assert found.must_change_password
