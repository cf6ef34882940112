"""The adapters of an installation: listed, installed, deleted, promoted."""

import difflib
import re
import shutil
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

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
from core.errors import AdapterError, Conflict, InvalidInput, NotFound
from core.home import Home
from core.settings import Settings
from core.workspace import folder_written_atomically, remove_folder, sync_folder, write_atomically

_NAME = re.compile(r"[a-z0-9][a-z0-9-_.]{0,63}")


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
        folder = self._folder / name
        if _is_own(name) and folder.is_dir():
            return read_adapter(folder, name)
        reader = fitting_reader(self._settings, self._builtin) if name == NAME else None
        if reader is not None:
            return reader
        known = [info.name for info in self.list()]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"Did you mean '{near[0]}'?" if near else _choices(known)
        raise NotFound(f"There is no adapter '{name}'. {hint}")

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
        except FileExistsError as error:
            raise Conflict(
                f"There is an adapter '{name}' already. Choose another name, or delete it first."
            ) from error
        return self.get(name)

    def delete(self, name: str) -> None:
        """Take an adapter off the shelf; if it was the default, there is none any more.

        Raises:
            NotFound: there is none of that name.
            Conflict: it comes with the product.
        """
        folder = self.require_deletable(name).ref.path
        self._database.make_room()
        if self.default() == name:
            self.set_default(None, None, f"'{name}' was deleted")
        hidden = self._folder / f".{name}.deleted"
        remove_folder(hidden)
        folder.rename(hidden)
        sync_folder(self._folder)
        remove_folder(hidden)

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
        """Name of the promoted adapter, if it is still there."""
        with self._database.session() as session:
            newest = select(PromotionRow.adapter).order_by(PromotionRow.id.desc()).limit(1)
            name = session.scalar(newest)
        if name == NAME:
            return name if fitting_reader(self._settings, self._builtin) else None
        return name if name and (self._folder / name).is_dir() else None

    def set_default(self, name: str | None, account_id: int | None, reason: str = "") -> None:
        """Promote an adapter, or none; the history keeps who and why.

        Raises:
            NotFound: there is none of that name.
            AdapterError: it is damaged.
        """
        if name is not None:
            info = self.get(name)
            if info.problem:
                raise AdapterError(info.problem)
        with self._database.session() as session:
            session.add(PromotionRow(adapter=name, account_id=account_id, reason=reason))

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


def _is_own(name: str) -> bool:
    """Tell whether a folder of that name holds an adapter of this installation."""
    return bool(_NAME.fullmatch(name)) and name != NAME


def _choices(known: list[str]) -> str:
    return f"There are: {', '.join(known)}." if known else "There is none yet: train one first."
