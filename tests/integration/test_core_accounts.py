"""Accounts, sign-ins and the audit log on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from core.accounts import Accounts
from core.audit import Audit
from core.database import now
from core.errors import (
    Conflict,
    InhouseError,
    InvalidInput,
    NotFound,
    SignInFailed,
)
from core.home import Home
from core.permissions import Role, require_account
from core.tables import AccountRow, SessionRow
from tests.quick import QUICK
from tests.waiting import PATIENCE_S

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PASSWORD = "correct horse battery"
OTHER = "another long password"


@pytest.fixture
def accounts(any_home: Home) -> Accounts:
    """Hashed quickly; what must be hashed as by default is, below."""
    return Accounts(any_home.database, any_home.settings, passwords=QUICK)


def test_first_run_makes_one_admin_who_must_choose_a_password(accounts: Accounts) -> None:
    given = accounts.first_run()
    assert given is not None
    name, password = given
    assert accounts.first_run() is None
    token = accounts.sign_in(name, password, "127.0.0.1")
    account = accounts.by_token(token)
    assert account is not None
    assert account.role is Role.ADMIN
    with pytest.raises(InhouseError, match="password of your own"):
        require_account(account)
    with pytest.raises(InvalidInput, match="old one"):
        accounts.change_password(account.id, password, password, keep=token)
    accounts.change_password(account.id, password, PASSWORD, keep=token)
    assert require_account(accounts.by_token(token)).name == "admin"


def test_two_first_runs_at_once_make_one_admin(any_home: Home) -> None:
    several = [Accounts(any_home.database, any_home.settings, passwords=QUICK) for _ in range(3)]
    barrier = threading.Barrier(3)

    def run(accounts: Accounts) -> tuple[str, str] | None:
        barrier.wait(PATIENCE_S)
        return accounts.first_run()

    with ThreadPoolExecutor(3) as pool:
        given = [found for found in pool.map(run, several) if found]
    assert len(given) == 1
    assert len(several[0].list()) == 1
    assert several[0].sign_in(*given[0], "127.0.0.1")


def test_names_are_one_whatever_their_case(accounts: Accounts) -> None:
    accounts.create("Ada Löve", PASSWORD, Role.EMPLOYEE, {"hr", " legal "})
    for twin in ("ada löve", "ADA LÖVE ", "Ａda Lo\u0308ve"):
        with pytest.raises(Conflict, match="already"):
            accounts.create(twin, PASSWORD, "employee")
    token = accounts.sign_in(" ADA löVE", PASSWORD, "::1")
    account = accounts.by_token(token)
    assert account is not None
    assert (account.name, account.groups) == ("Ada Löve", frozenset({"hr", "legal"}))


def test_only_hashes_are_stored(any_home: Home) -> None:
    accounts = Accounts(any_home.database, any_home.settings)
    account = accounts.create("ada", PASSWORD, Role.EMPLOYEE)
    token = accounts.sign_in("ada", PASSWORD, "10.0.0.1")
    with any_home.database.session() as session:
        row = session.get(AccountRow, account.id)
        stored = session.scalars(select(SessionRow)).one()
    assert row is not None
    assert row.password_hash.startswith("$argon2id$")
    assert token not in repr(vars(stored))
    assert len(stored.token_sha256) == 64
    entries = Audit(any_home.database).entries()
    assert PASSWORD not in repr(entries)
    assert token not in repr(entries)


def test_sessions_end_by_sign_out_password_disable_delete(accounts: Accounts) -> None:
    account = accounts.create("ada", PASSWORD, Role.EMPLOYEE)
    first, second = (accounts.sign_in("ada", PASSWORD, f"10.0.0.{n}") for n in (1, 2))
    assert [sign_in.address for sign_in in accounts.sessions(account.id)] == [
        "10.0.0.2",
        "10.0.0.1",
    ]
    accounts.sign_out(first)
    assert accounts.by_token(first) is None
    third = accounts.sign_in("ada", PASSWORD, "10.0.0.3")
    accounts.change_password(account.id, PASSWORD, OTHER, keep=third)
    assert accounts.by_token(second) is None
    assert accounts.by_token(third) is not None
    accounts.end_sessions(account.id)
    assert accounts.by_token(third) is None
    fourth = accounts.sign_in("ada", OTHER, "10.0.0.4")
    accounts.update(account.id, disabled=True)
    assert accounts.by_token(fourth) is None
    with pytest.raises(SignInFailed, match="disabled"):
        accounts.sign_in("ada", OTHER, "10.0.0.4")
    accounts.update(account.id, disabled=False)
    assert accounts.by_token(fourth) is None
    fifth = accounts.sign_in("ada", OTHER, "10.0.0.5")
    accounts.delete(account.id)
    assert accounts.by_token(fifth) is None
    for nothing in (None, "", "x" * 100_000, "\0", "\udcff"):
        assert accounts.by_token(nothing) is None
        accounts.sign_out(nothing)


def test_session_expires(accounts: Accounts, any_home: Home) -> None:
    accounts.create("ada", PASSWORD, Role.EMPLOYEE)
    token = accounts.sign_in("ada", PASSWORD, "-")
    with any_home.database.session() as session:
        stored = session.scalars(select(SessionRow)).one()
        length = stored.expires_at - stored.created_at
        stored.expires_at = now() - timedelta(seconds=1)
    assert abs(length.total_seconds() / 3600 - any_home.settings.session_hours) < 0.01
    assert accounts.by_token(token) is None
    accounts.sign_in("ada", PASSWORD, "-")
    with any_home.database.session() as session:
        assert len(session.scalars(select(SessionRow)).all()) == 1


def test_the_last_admin_stays(accounts: Accounts) -> None:
    last = accounts.create("root", PASSWORD, Role.ADMIN)
    disabled = accounts.create("gone", PASSWORD, Role.ADMIN)
    accounts.update(disabled.id, disabled=True)
    for change in (
        lambda: accounts.update(last.id, role=Role.EMPLOYEE),
        lambda: accounts.update(last.id, disabled=True),
        lambda: accounts.delete(last.id),
    ):
        with pytest.raises(Conflict, match="'root' is the last admin"):
            change()
    assert accounts.get(last.id).role is Role.ADMIN
    assert not accounts.get(last.id).disabled
    accounts.update(disabled.id, disabled=False)
    accounts.update(last.id, role="employee")
    assert [account.role for account in accounts.list()] == [Role.ADMIN, Role.EMPLOYEE]


def test_two_admins_who_demote_each_other_do_not_both_succeed(accounts: Accounts) -> None:
    for round_ in range(4):
        pair = [accounts.create(f"{who}{round_}", PASSWORD, Role.ADMIN) for who in "ab"]
        for older in accounts.list():
            if older.id not in {account.id for account in pair} and older.role is Role.ADMIN:
                accounts.update(older.id, role=Role.EMPLOYEE)
        barrier = threading.Barrier(2)

        def demote(account_id: int, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait(PATIENCE_S)
            try:
                accounts.update(account_id, role=Role.EMPLOYEE)
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(demote, [a.id for a in pair])) == [False, True]


@ON_SQLITE
@pytest.mark.parametrize(
    ("name", "password", "role", "groups", "message"),
    [
        ("", PASSWORD, "employee", [], "visible characters"),
        ("a\nb", PASSWORD, "employee", [], "visible characters"),
        ("x" * 65, PASSWORD, "employee", [], "1 to 64"),
        ("ada", "short", "employee", [], "has 5 characters; use at least 10"),
        ("ada", "x" * 201, "employee", [], "at most 200"),
        ("ada", "1212121212", "employee", [], "very few"),
        ("ada.lovelace", "ADA.Lovelace", "employee", [], "account's name"),
        ("ada", PASSWORD, "boss", [], "'boss'.*employee, admin"),
        ("ada", PASSWORD, "employee", ["a,b"], "'a,b'"),
        ("ada", PASSWORD, "employee", [" "], "group ''"),
    ],
)
def test_bad_accounts_are_refused(
    accounts: Accounts, name: str, password: str, role: str, groups: list[str], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        accounts.create(name, password, role, groups)
    assert accounts.list() == []


@pytest.mark.parametrize("name", ["", "\0", "\udcff", "x" * 100_000, "ﷺ" * 64])
def test_odd_names_only_fail_to_sign_in(accounts: Accounts, name: str) -> None:
    with pytest.raises(SignInFailed):
        accounts.sign_in(name, "\0\udcff" + "x" * 100_000, "\0")


def test_unknown_account(accounts: Accounts) -> None:
    for deed in (accounts.get, accounts.delete, accounts.end_sessions, accounts.update):
        with pytest.raises(NotFound, match="no account 7"):
            deed(7)


def test_audit_tells_who_did_what(accounts: Accounts, any_home: Home) -> None:
    account = accounts.create("ada", PASSWORD, Role.EMPLOYEE, actor="root")
    accounts.update(account.id, groups=["hr"], actor="root")
    accounts.sign_in("ada", PASSWORD, "10.0.0.1")
    audit = Audit(any_home.database)
    audit.record("ada", "document.delete", "a\0b.pdf", {"share": float("nan")})
    entries = audit.entries()
    assert [(entry.actor, entry.action) for entry in entries] == [
        ("ada", "document.delete"), ("ada", "sign_in"), ("root", "account.update"),
        ("root", "account.create"),
    ]  # fmt: skip
    assert entries[0].detail == {"share": None}
    assert entries[2].detail == {"groups": ["hr"]}
    assert [entry.id for entry in audit.entries(limit=2, before_id=entries[0].id)] == [
        entries[1].id, entries[2].id,
    ]  # fmt: skip


@ON_SQLITE
def test_weaker_hashes_are_renewed(any_home: Home) -> None:
    accounts = Accounts(any_home.database, any_home.settings)
    account = accounts.create("ada", PASSWORD, Role.EMPLOYEE)
    weak = PasswordHasher(time_cost=1, memory_cost=64).hash(PASSWORD)
    with any_home.database.session() as session:
        session.execute(update(AccountRow).values(password_hash=weak))
    accounts.sign_in("ada", PASSWORD, "-")
    with any_home.database.session() as session:
        row = session.get(AccountRow, account.id)
    assert row is not None
    assert row.password_hash != weak
    assert replace(account) == accounts.by_token(accounts.sign_in("ada", PASSWORD, "-"))
