"""Who may read the single answers of an evaluation: they quote documents."""

from typing import Any

from core.errors import NotFound
from core.permissions import OPERATOR, Account, reader_of


def may_read_rows(library: Any, account: Account) -> bool:
    """Tell whether an account may read single answers.

    An evaluation searches all documents, so its answers are for those who may read all.
    """
    return bool(library.count(reader_of(account)) == library.count(OPERATOR))


def require_rows(library: Any, account: Account) -> None:
    """Raise `NotFound` where answers quote documents that this account may not read."""
    if not may_read_rows(library, account):
        raise NotFound(
            "The single answers quote documents that you may not read. Ask an admin for them."
        )
