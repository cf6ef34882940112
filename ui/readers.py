"""Who may read documents, said to people: groups, who is in them, what a change would open."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.accounts import Accounts
from retrieval.library import Document, Library
from ui.guard import warn
from ui.markup import piece


@dataclass(frozen=True)
class Change:
    """Other groups for a document."""

    document: Document
    after: frozenset[str]

    @property
    def differs(self) -> bool:
        """Tell whether anything changes."""
        return self.document.groups != self.after

    @property
    def widens(self) -> bool:
        """Tell whether somebody may read it who could not before."""
        before = self.document.groups
        return bool(before) and (not self.after or bool(self.after - before))


class Readers:
    """The groups that accounts and documents name."""

    def __init__(self, library: Library, accounts: Accounts) -> None:
        """Look them up in `library` and `accounts`."""
        self._library = library
        self._accounts = accounts

    def known(self) -> list[str]:
        """All groups there are, by name."""
        return sorted({*self._members(), *self._library.groups()})

    def told(self, groups: Iterable[str]) -> str:
        """Say who reads what is for `groups`, with the number of people in each."""
        members = self._members()
        named = [f"{name} ({_people(members[name])})" for name in sorted(groups)]
        return ", ".join(named) or "everyone"

    def warn_of_nobody(self, groups: Iterable[str]) -> None:
        """Tell the person of groups that nobody is in, perhaps by a slip of the pen."""
        members = self._members()
        for name in sorted(groups):
            if not members[name]:
                warn(f"Nobody is in the group “{name}”. What is for it alone only admins can read.")

    def question(self, changes: Sequence[Change]) -> str:
        """Ask before more people may read documents."""
        rows = [
            (change.document.label, self.told(change.document.groups), self.told(change.after))
            for change in changes
        ]
        return piece("confirm_groups.html", rows=rows)

    def _members(self) -> Counter[str]:
        people = [one for one in self._accounts.list() if not one.disabled]
        return Counter(group for one in people for group in one.groups)


def _people(count: int) -> str:
    return f"{count} {'person' if count == 1 else 'people'}"
