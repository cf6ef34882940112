"""Accounts and sign-ins. Every change is written to the audit log in the same transaction."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.audit import OPERATOR_NAME, audit_row
from core.database import Database, now
from core.errors import Conflict, InvalidInput, NotFound, SignInFailed
from core.guessing import GuessingBrake, digest, remember_address
from core.passwords import Passwords, check_password, name_key, random_password
from core.permissions import Account, Role, group_names
from core.settings import Settings
from core.tables import AccountRow, SessionRow
from core.values import storable

FIRST_NAME = "admin"
LONGEST_NAME = 64

# Put together once: every request asks it.
_SIGNED_IN = (
    select(AccountRow)
    .join(SessionRow, SessionRow.account_id == AccountRow.id)
    .where(
        SessionRow.token_sha256 == bindparam("token"),
        SessionRow.expires_at > bindparam("moment"),
        AccountRow.disabled.is_(False),
    )
)


@dataclass(frozen=True)
class AccountDetails(Account):
    """An account as an admin sees it in the list of people."""

    disabled: bool = False
    created_at: datetime | None = None
    last_sign_in_at: datetime | None = None


@dataclass(frozen=True)
class SignIn:
    """One open session."""

    id: int
    address: str
    created_at: datetime
    expires_at: datetime


class Accounts:
    """Who may come in. `actor` is the name under which a change is written to the audit log."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Callable[[], datetime] = now,
        passwords: Passwords | None = None,
    ) -> None:
        """Take session length and limits from `settings`; `clock` is that of the limits."""
        self._database = database
        self._session_length = timedelta(hours=settings.session_hours)
        self._passwords = passwords or Passwords()
        self._brake = GuessingBrake(database, settings, clock)

    def create(
        self,
        name: str,
        password: str,
        role: Role | str,
        groups: Iterable[str] = frozenset(),
        actor: str = OPERATOR_NAME,
    ) -> Account:
        """Add an account.

        Raises:
            InvalidInput: a name, password, role or group that cannot be used.
            Conflict: the name is taken; upper and lower case are the same.
        """
        return self._create(_new_row(name, password, role, groups), password, actor)

    def first_run(self) -> tuple[str, str] | None:
        """Create the first admin when there is no account at all.

        Returns:
            Name and random password, to be shown once and changed at once; None afterwards.
        """
        with self._database.session() as session:
            if session.scalar(select(AccountRow.id).limit(1)) is not None:
                return None
        password = random_password()
        row = _new_row(FIRST_NAME, password, Role.ADMIN, frozenset())
        row.must_change_password = True
        try:
            self._create(row, password, OPERATOR_NAME)
        except Conflict:
            return None
        return FIRST_NAME, password

    def sign_in(self, name: str, password: str, address: str) -> str:
        """Check a password and open a session.

        Args:
            name: any case.
            password: as typed.
            address: where the request came from, for the audit log.

        Returns:
            The session's token; only its SHA-256 is stored.

        Raises:
            SignInFailed: unknown name or wrong password (the same words and the same time
                for both), or a disabled account.
            TooManyRequests: too many failures of this name or address; nothing was checked.
        """
        key = name_key(storable(name, LONGEST_NAME + 1))
        self._database.make_room()
        try:
            with self._brake.signing_in(key, address):
                account_id = self._check(key, password)
        except SignInFailed as error:
            with self._database.session() as session:
                detail = {"address": address, "reason": error.message}
                session.add(audit_row(storable(name, 64), "sign_in.failed", name[:64], detail))
            raise
        return self._open_session(account_id, address)

    def by_token(self, token: str | None) -> Account | None:
        """Return whose session this is; None when it ended, expired or never was."""
        if not token:
            return None
        with self._database.session() as session:
            row = session.scalar(_SIGNED_IN, {"token": digest(token), "moment": now()})
        return _account(row) if row else None

    def sign_out(self, token: str | None) -> None:
        """End the session of this token, if there is one."""
        if not token:
            return
        with self._database.session() as session:
            session.execute(delete(SessionRow).where(SessionRow.token_sha256 == digest(token)))

    def sessions(self, account_id: int) -> list[SignIn]:
        """Return the open sessions of an account, newest first."""
        query = (
            select(SessionRow)
            .where(SessionRow.account_id == account_id, SessionRow.expires_at > now())
            .order_by(SessionRow.id.desc())
        )
        with self._database.session() as session:
            return [
                SignIn(row.id, row.address, row.created_at, row.expires_at)
                for row in session.scalars(query)
            ]

    def end_sessions(
        self, account_id: int, keep: str | None = None, actor: str = OPERATOR_NAME
    ) -> None:
        """End all sessions of an account, except the one with the token `keep`."""
        with self._database.session() as session:
            row = _row(session, account_id)
            _end_sessions(session, account_id, keep)
            session.add(audit_row(actor, "account.end_sessions", row.name))

    def change_password(self, account_id: int, old: str, new: str, keep: str | None = None) -> None:
        """Change one's own password; ends all sessions but the one with the token `keep`.

        Raises:
            SignInFailed: `old` is wrong.
            TooManyRequests: it was wrong too often in this session.
            InvalidInput: `new` breaks a rule or is the old one.
        """
        with self._database.session() as session:
            row = _row(session, account_id)
        with self._brake.changing(account_id, keep or ""):
            if not self._passwords.matches(old, row.password_hash):
                raise SignInFailed("The present password is wrong. Type it again.")
        check_password(new, row.name)
        if new == old:
            raise InvalidInput("The new password is the old one; choose another.")
        self._store_password(account_id, new, keep, must_change=False, actor=row.name)

    def set_password(self, account_id: int, password: str, actor: str = OPERATOR_NAME) -> None:
        """Give an account a new password that its owner must change; ends its sessions.

        Raises:
            InvalidInput: the password breaks a rule.
        """
        with self._database.session() as session:
            row = _row(session, account_id)
        check_password(password, row.name)
        self._store_password(account_id, password, None, must_change=True, actor=actor)
        self._brake.forget(row.name_key)

    def get(self, account_id: int) -> AccountDetails:
        """Return one account.

        Raises:
            NotFound: there is none with this id.
        """
        with self._database.session() as session:
            return _details(_row(session, account_id))

    def list(self) -> list[AccountDetails]:
        """Return all accounts by name."""
        with self._database.session() as session:
            rows = session.scalars(select(AccountRow).order_by(AccountRow.name_key))
            return [_details(row) for row in rows]

    def update(
        self,
        account_id: int,
        role: Role | str | None = None,
        groups: Iterable[str] | None = None,
        disabled: bool | None = None,
        actor: str = OPERATOR_NAME,
    ) -> Account:
        """Change what is given; disabling ends the account's sessions.

        Raises:
            Conflict: nobody would be left who can manage the installation.
        """
        with self._database.session() as session:
            row = _locked_row(session, account_id)
            managed = _manages(row)
            changes: dict[str, object] = {}
            if role is not None:
                row.role = changes["role"] = _role(role)
            if groups is not None:
                row.groups = changes["groups"] = _groups(groups)
            if disabled is not None:
                row.disabled = changes["disabled"] = disabled
            session.add(audit_row(actor, "account.update", row.name, changes))
            if managed:
                _keep_an_admin(session, row.name)
            if row.disabled:
                _end_sessions(session, account_id, None)
            return _account(row)

    def delete(self, account_id: int, actor: str = OPERATOR_NAME) -> None:
        """Delete an account and its sessions.

        Raises:
            Conflict: it is the last admin.
        """
        with self._database.session() as session:
            row = _locked_row(session, account_id)
            session.add(audit_row(actor, "account.delete", row.name))
            session.delete(row)
            if _manages(row):
                _keep_an_admin(session, row.name)

    def _create(self, row: AccountRow, password: str, actor: str) -> Account:
        row.password_hash = self._passwords.hash(password)
        detail = {"role": row.role, "groups": row.groups}
        try:
            with self._database.session() as session:
                session.add(row)
                session.flush()
                session.add(audit_row(actor, "account.create", row.name, detail))
        except IntegrityError:
            raise Conflict(
                f"There is an account '{row.name}' already. Choose another name."
            ) from None
        return _account(row)

    def _check(self, key: str, password: str) -> int:
        with self._database.session() as session:
            row = session.scalar(select(AccountRow).where(AccountRow.name_key == key))
        matches = self._passwords.matches(password, row.password_hash if row else None)
        if row is None or not matches:
            raise SignInFailed("Name or password is wrong. Try again, or ask an admin.")
        if row.disabled:
            raise SignInFailed(f"The account '{row.name}' is disabled. Ask an admin to enable it.")
        if self._passwords.outdated(row.password_hash):
            with self._database.session() as session:
                _row(session, row.id).password_hash = self._passwords.hash(password)
        return row.id

    def _open_session(self, account_id: int, address: str) -> str:
        token = secrets.token_urlsafe(32)
        moment = now()
        with self._database.session() as session:
            row = _row(session, account_id)
            row.last_sign_in_at = moment
            session.execute(delete(SessionRow).where(SessionRow.expires_at <= moment))
            session.add(
                SessionRow(
                    token_sha256=digest(token), account_id=account_id,
                    address=storable(address, 64), expires_at=moment + self._session_length,
                )
            )  # fmt: skip
            remember_address(session, account_id, address, moment)
            session.add(audit_row(row.name, "sign_in", row.name, {"address": address}))
        return token

    def _store_password(
        self, account_id: int, password: str, keep: str | None, *, must_change: bool, actor: str
    ) -> None:
        hashed = self._passwords.hash(password)
        action = "account.reset_password" if must_change else "account.change_password"
        with self._database.session() as session:
            row = _row(session, account_id)
            row.password_hash = hashed
            row.must_change_password = must_change
            _end_sessions(session, account_id, keep)
            session.add(audit_row(actor, action, row.name))


def _new_row(name: str, password: str, role: Role | str, groups: Iterable[str]) -> AccountRow:
    name = _name(name)
    check_password(password, name)
    return AccountRow(
        name=name, name_key=name_key(name), role=_role(role), groups=_groups(groups),
        must_change_password=False, disabled=False,
    )  # fmt: skip


def _name(name: str) -> str:
    name = name.strip()
    if not name or len(name_key(name)) > LONGEST_NAME or not name.isprintable():
        raise InvalidInput(
            f"The name '{storable(name, 80)}' cannot be used. "
            f"Use 1 to {LONGEST_NAME} visible characters."
        )
    return name


def _role(role: Role | str) -> Role:
    try:
        return Role(role)
    except ValueError:
        known = ", ".join(Role)
        raise InvalidInput(f"There is no role '{role}'. Use one of: {known}.") from None


def _groups(groups: Iterable[str]) -> list[str]:
    return sorted(group_names(groups))


def _row(session: Session, account_id: int) -> AccountRow:
    row = session.get(AccountRow, account_id)
    if row is None:
        raise NotFound(f"There is no account {account_id}. It may have been deleted.")
    return row


def _locked_row(session: Session, account_id: int) -> AccountRow:
    # All admins are locked (PostgreSQL): two admins who demote each other must not both succeed.
    admins = select(AccountRow).where(AccountRow.role == Role.ADMIN).order_by(AccountRow.id)
    session.scalars(admins.with_for_update()).all()
    return _row(session, account_id)


def _manages(row: AccountRow) -> bool:
    return row.role == Role.ADMIN and not row.disabled


def _keep_an_admin(session: Session, name: str) -> None:
    session.flush()
    left = select(AccountRow.id).where(
        AccountRow.role == Role.ADMIN, AccountRow.disabled.is_(False)
    )
    if session.scalar(left.limit(1)) is None:
        raise Conflict(
            f"'{name}' is the last admin who can sign in. Make somebody else an admin first."
        )


def _end_sessions(session: Session, account_id: int, keep: str | None) -> None:
    ended = delete(SessionRow).where(SessionRow.account_id == account_id)
    if keep:
        ended = ended.where(SessionRow.token_sha256 != digest(keep))
    session.execute(ended)


def _account(row: AccountRow) -> Account:
    return Account(
        row.id, row.name, Role(row.role), frozenset(row.groups), row.must_change_password
    )


def _details(row: AccountRow) -> AccountDetails:
    return AccountDetails(
        row.id, row.name, Role(row.role), frozenset(row.groups), row.must_change_password,
        row.disabled, row.created_at, row.last_sign_in_at,
    )  # fmt: skip
