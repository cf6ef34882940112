"""Who a person is, what the role allows, and which documents may be read."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from core.errors import InvalidInput, PermissionDenied, SignInRequired
from core.values import storable

LONGEST_GROUP = 64


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


# Printable by Unicode's own account, and yet nothing to be seen.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0f"
    "\U000e0100-\U000e01ef]"
)


def group_name(text: str) -> str:
    """The one spelling of a group: 'Legal', ' legal ' and a full-width 'Ｌｅｇａｌ' are one."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def group_names(names: Iterable[str]) -> frozenset[str]:
    """Return groups in their one spelling, as accounts and documents alike store them.

    Raises:
        InvalidInput: a name that cannot be used.
    """
    found = frozenset(group_name(name) for name in names)
    for name in found:
        visible = name.isprintable() and not _INVISIBLE.search(name)
        if not name or len(name) > LONGEST_GROUP or "," in name or not visible:
            raise InvalidInput(
                f"The group '{storable(name, 80)}' cannot be used. "
                f"Use 1 to {LONGEST_GROUP} visible characters without commas."
            )
    return found


@dataclass(frozen=True)
class Reader:
    """On whose behalf documents are searched and opened.

    A document without groups is for everyone; one with groups is for their members only.
    """

    groups: frozenset[str] = frozenset()
    reads_everything: bool = False

    def __post_init__(self) -> None:
        """Spell the groups as they are stored: SQL compares them letter by letter."""
        object.__setattr__(self, "groups", frozenset(map(group_name, self.groups)))

    def may_read(self, document_groups: frozenset[str]) -> bool:
        """Tell whether a document restricted to `document_groups` is open to this reader."""
        if self.reads_everything or not document_groups:
            return True
        return not self.groups.isdisjoint(map(group_name, document_groups))


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
