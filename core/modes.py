"""Who may read the workspace: the account that runs Inhouse, and nobody else."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from core.workspace import UMASK, Workspace


def tighten(workspace: Workspace) -> None:
    """Take from others what an earlier version, or a copy, let them do inside the workspace."""
    for path, found in _inside(workspace):
        if found.st_mode & UMASK:
            # What is not ours stays as it is; `python -m core check` names it.
            with contextlib.suppress(OSError):
                path.chmod(stat.S_IMODE(found.st_mode) & ~UMASK)


def open_to_others(workspace: Workspace) -> list[str]:
    """Return a sentence for each path inside that somebody else may read or change."""
    owner = workspace.root.stat().st_uid
    said = []
    for path, found in _inside(workspace):
        if found.st_mode & UMASK:
            mode = oct(stat.S_IMODE(found.st_mode))[2:]
            said.append(f"'{path}' is open to others (mode {mode}). Run: chmod go= '{path}'")
        if found.st_uid != owner:
            said.append(f"'{path}' belongs to user {found.st_uid}. Run: chown {owner} '{path}'")
    return said


def _inside(workspace: Workspace) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield all that is the workspace's own. Links are neither followed nor named."""
    root = workspace.root
    shared = root.stat().st_mode & stat.S_ISVTX or root in (Path(root.anchor), Path.home())
    # A folder that others use as well, like /tmp, is not ours to close.
    for top in workspace.own() if shared else [root]:
        yield from _looked_at(top)
        for parent, folders, files in os.walk(top):
            for name in (*folders, *files):
                yield from _looked_at(Path(parent, name))


def _looked_at(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    # Gone meanwhile: a job or a person deleted it.
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode):
            yield path, found
