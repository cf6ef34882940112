"""The adapters of an installation: listed, installed, deleted, promoted, and who may use which."""

import difflib
import errno
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select

from assistant.engines.adapter_files import weights_hash
from assistant.manifest import (
    CONFIG,
    MANIFEST,
    WEIGHTS,
    AdapterInfo,
    read_adapter,
    read_manifest,
)
from assistant.reader import BUILTIN, NAME, fitting_reader, serving_reader
from assistant.tables import PromotionRow
from core.database import Base
from core.errors import AdapterError, Conflict, InvalidInput, NotFound, PermissionDenied
from core.home import Home
from core.permissions import Account, Role
from core.settings import Settings
from core.workspace import folder_written_atomically, remove_folder, sync_folder, write_atomically

NO_ADAPTER = "none"
"""Said where a name is asked for: no adapter."""
NONE_APPROVED = "No fine-tuned model has been approved yet."

_NAME = re.compile(r"[a-z0-9][a-z0-9-_.]{0,63}")
_DELETED = ".deleted"


@dataclass(frozen=True)
class Promotion:
    """One change of the default adapter."""

    adapter: str | None
    account_id: int | None
    reason: str
    created_at: datetime


class Shelf:
    """Folders in the workspace, and the one adapter that comes with the product.

    Which one is the default stands in the database.
    """

    def __init__(self, home: Home, builtin: Path = BUILTIN) -> None:
        """Open the shelf of `home`; the built-in reader lies in `builtin`."""
        self._folder = home.workspace.adapters
        self._database = home.database
        self._settings = home.settings
        self._builtin = builtin

    def list(self) -> list[AdapterInfo]:
        """All adapters by name, the built-in one last; damaged ones with their problem.

        The built-in one is listed only where the model that it was made for runs.
        """
        folders = [f for f in self._folder.iterdir() if f.is_dir() and _is_own(f.name)]
        own = [read_adapter(folder, folder.name) for folder in sorted(folders)]
        reader = fitting_reader(self._settings, self._builtin)
        return [*own, reader] if reader else own

    def get(self, name: str) -> AdapterInfo:
        """Return one adapter.

        Raises:
            NotFound: there is none of that name.
        """
        found = self._find(name)
        if found is not None:
            return found
        known = [info.name for info in self.list()]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"Did you mean '{near[0]}'?" if near else _choices(known)
        raise NotFound(f"There is no adapter '{name}'. {hint}")

    def _find(self, name: str) -> AdapterInfo | None:
        folder = self._folder / name
        if _is_own(name) and folder.is_dir():
            return read_adapter(folder, name)
        return fitting_reader(self._settings, self._builtin) if name == NAME else None

    def taken(self, name: str) -> bool:
        """Tell whether a folder has that name, in any case: some disks do not tell them apart."""
        return name.casefold() in {folder.name.casefold() for folder in self._folder.iterdir()}

    def serving_reader(self, settings: Settings) -> AdapterInfo | None:
        """Return what answers the mode `rag` under `settings`; None: the plain model.

        Raises:
            SettingsError: they want the built-in reader, and it does not serve.
        """
        return serving_reader(settings, self._builtin)

    def install(self, name: str, built_folder: Path) -> AdapterInfo:
        """Copy a finished adapter onto the shelf: it is there whole, or not at all.

        Raises:
            InvalidInput: a name that cannot be used.
            AdapterError: files are missing, or the weights are not the manifest's.
            Conflict: there is one of that name.
        """
        check_name(name)
        manifest = read_manifest(built_folder)
        if weights_hash(built_folder) != manifest.weights_sha256:
            raise AdapterError(
                f"The adapter in '{built_folder}' cannot be installed: {WEIGHTS} is missing or "
                "is not the file that its manifest describes. Build it again."
            )
        if not (built_folder / CONFIG).is_file():
            raise AdapterError(
                f"The adapter in '{built_folder}' cannot be installed: {CONFIG} is missing. "
                "Build it again."
            )
        try:
            with folder_written_atomically(self._folder / name) as folder:
                for file in (CONFIG, WEIGHTS):
                    shutil.copyfile(built_folder / file, folder / file)
                named = replace(manifest, name=name)
                write_atomically(folder / MANIFEST, named.to_json().encode())
        except OSError as error:
            # The second: another process put one there between the look and the rename.
            if error.errno not in (None, errno.EEXIST, errno.ENOTEMPTY):
                raise
            raise Conflict(name_taken(name)) from error
        return self.get(name)

    def delete(
        self,
        name: str,
        heir: str | None = None,
        account_id: int | None = None,
        beside: Sequence[Base] = (),
    ) -> None:
        """Take an adapter off the shelf; where it is the default, `heir` becomes it first.

        Killed half way, it is either still there, no longer the default, or gone.

        Args:
            name: which.
            heir: an approved adapter, or `NO_ADAPTER`; needed where `name` is the default.
            account_id: who decides on the heir.
            beside: rows to be stored together with that decision.

        Raises:
            NotFound: there is none of that name.
            Conflict: it comes with the product; or it is the default and no possible heir is named.
        """
        folder = self.require_deletable(name).ref.path
        self._database.make_room()
        if self.default() == name:
            chosen = self.require_heir(name, heir)
            told = "no adapter is the default" if chosen is None else f"'{chosen}' replaces it"
            self.set_default(chosen, account_id, f"'{name}' was deleted; {told}", beside)
        for left in self._folder.glob(f".*{_DELETED}"):
            remove_folder(left)
        hidden = self._folder / f".{name}{_DELETED}"
        folder.rename(hidden)
        sync_folder(self._folder)
        remove_folder(hidden)

    def heirs(self, name: str) -> tuple[str, ...]:
        """Return what could be the default in the place of `name`: what employees may use."""
        approved = self.approved()
        return tuple(i.name for i in self.list() if i.name in approved - {name} and not i.problem)

    def require_heir(self, name: str, heir: str | None) -> str | None:
        """Return who becomes the default in the place of `name`, the default; None: nobody.

        Raises:
            Conflict: none is named, or one that employees may not use.
        """
        if heir == NO_ADAPTER:
            return None
        possible = self.heirs(name)
        if heir in possible:
            return heir
        choices = ", ".join(
            [*possible, f"{NO_ADAPTER} (no fine-tuned answers until one is promoted)"]
        )
        if not heir:
            raise Conflict(
                f"'{name}' is the default that employees get. Say what replaces it: {choices}."
            )
        raise Conflict(
            f"'{heir}' cannot replace '{name}': employees may not use it. Promote it first, or "
            f"choose one of: {choices}."
        )

    def require_deletable(self, name: str) -> AdapterInfo:
        """Return an adapter that may be deleted.

        Raises:
            NotFound, Conflict: as `delete`.
        """
        info = self.get(name)
        if info.built_in:
            raise Conflict(
                f"The adapter '{name}' comes with the product and cannot be deleted. "
                "It answers nothing unless it is chosen."
            )
        return info

    def default(self) -> str | None:
        """Name of the promoted adapter, if it is still there; never another in its place."""
        with self._database.session() as session:
            newest = session.scalar(select(PromotionRow).order_by(PromotionRow.id.desc()).limit(1))
        return newest.adapter if newest is not None and self._still(newest) else None

    def approved(self) -> frozenset[str]:
        """Names of the adapters that employees may use.

        They passed the gate or were let through with a reason, and the default was not taken away
        since: while there is none, fine-tuned answers are off.
        """
        with self._database.session() as session:
            cleared = select(func.max(PromotionRow.id)).where(PromotionRow.adapter.is_(None))
            since = session.scalar(cleared) or 0
            rows = session.scalars(select(PromotionRow).where(PromotionRow.id > since)).all()
        return frozenset(row.adapter for row in rows if row.adapter and self._still(row))

    def _still(self, promoted: PromotionRow) -> bool:
        """Tell whether what was promoted is there, and not only a later one of its name."""
        info = self._find(promoted.adapter) if promoted.adapter else None
        if info is None:
            return False
        if info.built_in or info.manifest is None:
            return True  # A damaged one is told as damaged where it is used.
        if promoted.weights_sha256:
            return info.ref.hash == promoted.weights_sha256
        return info.manifest.created_at <= promoted.created_at.isoformat(timespec="seconds")

    def usable_by(self, account: Account) -> tuple[AdapterInfo, ...]:
        """Return what an account may answer with: admins try all, employees what is approved."""
        whole = tuple(info for info in self.list() if info.problem is None)
        if account.role is Role.ADMIN:
            return whole
        approved = self.approved()
        return tuple(info for info in whole if info.name in approved)

    def choose(self, account: Account, name: str | None) -> str | None:
        """Return the adapter that answers an account, which chose `name` or, with None, nothing.

        Raises:
            PermissionDenied: an employee named one that is not approved.
            InvalidInput: an employee named none, and none is the default.
        """
        wanted = name or self.default()
        if account.role is Role.ADMIN:
            return wanted
        approved = self.approved()
        if wanted in approved:
            return wanted
        known = f"Choose one of: {', '.join(sorted(approved))}." if approved else NONE_APPROVED
        if name:
            raise PermissionDenied(f"You may not use an adapter '{name}'. {known}")
        remedy = "" if approved else " Ask an admin to approve one, or choose another mode."
        raise InvalidInput(f"The fine-tuned modes need an adapter. {known}{remedy}")

    def set_default(
        self,
        name: str | None,
        account_id: int | None,
        reason: str = "",
        beside: Sequence[Base] = (),
    ) -> None:
        """Promote an adapter, or none; the history keeps who and why.

        `beside` are rows that are stored with it or not at all.

        Raises:
            NotFound: there is none of that name.
            AdapterError: it is damaged.
        """
        weights = ""
        if name is not None:
            info = self.get(name)
            if info.problem:
                raise AdapterError(info.problem)
            weights = info.ref.hash
        row = PromotionRow(
            adapter=name, account_id=account_id, reason=reason, weights_sha256=weights
        )
        with self._database.session() as session:
            session.add_all([row, *beside])

    def promotions(self, limit: int = 50) -> "tuple[Promotion, ...]":
        """Changes of the default, newest first."""
        with self._database.session() as session:
            rows = session.scalars(
                select(PromotionRow).order_by(PromotionRow.id.desc()).limit(limit)
            )
            return tuple(Promotion(r.adapter, r.account_id, r.reason, r.created_at) for r in rows)


def check_name(name: str) -> None:
    """Raise `InvalidInput` unless `name` can be an adapter's."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"'{name}' cannot be an adapter's name. Use 1 to 64 of a-z, 0-9, '-', '_' and '.', "
            "starting with a letter or digit."
        )
    if name == NAME:
        raise InvalidInput(
            f"'{name}' is the name of the adapter that comes with the product. Choose another name."
        )
    if name == NO_ADAPTER:
        raise InvalidInput(f"'{name}' stands for no adapter at all. Choose another name.")


def name_taken(name: str) -> str:
    """Say that an adapter of that name is on the shelf, and what to do."""
    return f"There is an adapter '{name}' already. Choose another name, or delete it first."


def _is_own(name: str) -> bool:
    """Tell whether a folder of that name holds an adapter of this installation."""
    return bool(_NAME.fullmatch(name)) and name != NAME


def _choices(known: list[str]) -> str:
    return f"There are: {', '.join(known)}." if known else "There is none yet: train one first."
