"""Who a person is, what the role allows, and which documents may be read."""

from dataclasses import dataclass
from enum import StrEnum

from core.errors import PermissionDenied, SignInRequired


class Role(StrEnum):
    """What an account may do: an admin may do everything an employee may."""

    EMPLOYEE = "employee"
    ADMIN = "admin"


@dataclass(frozen=True)
class Account:
    """A signed-in person."""

    id: int
    name: str
    role: Role
    groups: frozenset[str] = frozenset()
    must_change_password: bool = False


@dataclass(frozen=True)
class Reader:
    """On whose behalf documents are searched and opened.

    A document without groups is for everyone; one with groups is for their members only.
    """

    groups: frozenset[str] = frozenset()
    reads_everything: bool = False

    def may_read(self, document_groups: frozenset[str]) -> bool:
        """Tell whether a document restricted to `document_groups` is open to this reader."""
        return self.reads_everything or not document_groups or bool(self.groups & document_groups)


OPERATOR = Reader(reads_everything=True)
"""Whoever runs a command on the machine itself: can read the files anyway."""


def reader_of(account: Account) -> Reader:
    """The reader that `account` searches as. Admins manage all documents, so they read all."""
    return Reader(account.groups, reads_everything=account.role is Role.ADMIN)


def require_account(account: Account | None) -> Account:
    """Return the account or raise `SignInRequired`; a first-run password opens nothing."""
    if account is None:
        raise SignInRequired("You are not signed in, or your session has ended. Sign in again.")
    if account.must_change_password:
        raise SignInRequired("Choose a password of your own first: open /password.")
    return account


def require_admin(account: Account | None) -> Account:
    """Return the account, or raise `SignInRequired` or `PermissionDenied`."""
    account = require_account(account)
    if account.role is not Role.ADMIN:
        raise PermissionDenied(f"'{account.name}' is an employee; this needs an admin.")
    return account
