"""The adapters of an installation: listed, installed, deleted, promoted."""

import difflib
import re
import shutil
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from assistant.engines.adapter_files import weights_hash
from assistant.engines.base import AdapterRef
from assistant.manifest import CONFIG, MANIFEST, WEIGHTS, Manifest, read_manifest
from assistant.tables import PromotionRow
from core.errors import AdapterError, Conflict, InvalidInput, NotFound
from core.home import Home
from core.workspace import folder_written_atomically, remove_folder, sync_folder, write_atomically

_NAME = re.compile(r"[a-z0-9][a-z0-9-_.]{0,63}")


@dataclass(frozen=True)
class AdapterInfo:
    """An adapter as the shelf finds it."""

    name: str
    ref: AdapterRef
    manifest: Manifest | None
    """None when it cannot be read; `problem` then says why."""
    size_bytes: int
    problem: str | None = None


@dataclass(frozen=True)
class Promotion:
    """One change of the default adapter."""

    adapter: str | None
    account_id: int | None
    reason: str
    created_at: datetime


class Shelf:
    """Folders in the workspace; which one is the default stands in the database."""

    def __init__(self, home: Home) -> None:
        """Open the shelf of `home`."""
        self._folder = home.workspace.adapters
        self._database = home.database

    def list(self) -> list[AdapterInfo]:
        """All adapters by name; damaged ones with their problem."""
        folders = [f for f in self._folder.iterdir() if f.is_dir() and _NAME.fullmatch(f.name)]
        return [self._info(folder) for folder in sorted(folders)]

    def get(self, name: str) -> AdapterInfo:
        """Return one adapter.

        Raises:
            NotFound: there is none of that name.
        """
        folder = self._folder / name
        if _NAME.fullmatch(name) and folder.is_dir():
            return self._info(folder)
        known = [info.name for info in self.list()]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"Did you mean '{near[0]}'?" if near else _choices(known)
        raise NotFound(f"There is no adapter '{name}'. {hint}")

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
        """
        folder = self.get(name).ref.path
        if self.default() == name:
            self.set_default(None, None, f"'{name}' was deleted")
        hidden = self._folder / f".{name}.deleted"
        remove_folder(hidden)
        folder.rename(hidden)
        sync_folder(self._folder)
        remove_folder(hidden)

    def default(self) -> str | None:
        """Name of the promoted adapter, if it is still there."""
        with self._database.session() as session:
            newest = select(PromotionRow.adapter).order_by(PromotionRow.id.desc()).limit(1)
            name = session.scalar(newest)
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

    def _info(self, folder: Path) -> AdapterInfo:
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        try:
            manifest = read_manifest(folder)
        except AdapterError as error:
            return AdapterInfo(
                folder.name, AdapterRef(folder.name, folder, ""), None, size, error.message
            )
        missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
        problem = None
        if missing:
            problem = (
                f"The adapter '{folder.name}' cannot be used: {' and '.join(missing)} missing. "
                "Delete it and train it again, or restore the folder from a backup."
            )
        ref = AdapterRef(folder.name, folder, manifest.weights_sha256)
        return AdapterInfo(folder.name, ref, manifest, size, problem)


def check_name(name: str) -> None:
    """Raise `InvalidInput` unless `name` can be an adapter's."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"'{name}' cannot be an adapter's name. Use 1 to 64 of a-z, 0-9, '-', '_' and '.', "
            "starting with a letter or digit."
        )


def _choices(known: list[str]) -> str:
    return f"There are: {', '.join(known)}." if known else "There is none yet: train one first."
