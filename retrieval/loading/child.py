"""The child that reads files: `python -m retrieval.loading.child MEGABYTES`.

It knows nothing but what comes through its pipes, and may do nothing but compute: no network, no
other program, no file but Python's own code. See `docs/decisions/files.md`.
"""

import contextlib
import ctypes
import json
import math
import mimetypes
import os
import resource
import signal
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import DocumentError
from retrieval.loading.door import load_document
from retrieval.loading.frames import pack, read_frame

MEGABYTE = 1024 * 1024
OPEN_FILES = 64
PR_SET_PDEATHSIG = 1
FORBIDDEN = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn",
    "os.kill", "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
    "os.symlink", "os.truncate", "os.utime", "shutil.",
)  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CODE = Path(__file__).resolve().parents[2]


def main() -> None:
    """Read files one after another until the parent closes the pipe."""
    megabytes = int(sys.argv[1])
    source, sink = _pipes()
    _limit(megabytes)
    _die_with_parent()
    inherited = _peak_megabytes()
    sys.addaudithook(_guard())
    _answer(sink, {"ready": True})
    while (header := read_frame(source)) is not None:
        request = json.loads(header)
        content = read_frame(source)
        if content is None:
            return
        _allow_seconds(request["seconds"])
        answer = _read(request["name"], content)
        # Memory that a large file took does not come back in one piece. What the system counts
        # begins with the peak of the process that started this one.
        grown = _peak_megabytes() > max(inherited, megabytes / 2)
        answer["last"] = "memory" in answer or grown
        _answer(sink, answer)


def _read(name: str, content: bytes) -> dict[str, Any]:
    try:
        return {"document": load_document(name, content).as_json()}
    except DocumentError as error:
        return {"error": error.message}
    except MemoryError:
        return {"memory": True}


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """Put the pipes where no `print` of a parser reaches them."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return source, sink


def _answer(sink: BinaryIO, answer: dict[str, Any]) -> None:
    sink.write(pack(json.dumps(answer, ensure_ascii=False).encode()))
    sink.flush()


def _limit(megabytes: int) -> None:
    for kind, value in (
        (resource.RLIMIT_AS, megabytes * MEGABYTE),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


def _allow_seconds(seconds: float) -> None:
    """Let the kernel end this process when the next file has taken so much of a processor."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _die_with_parent() -> None:
    """Also in the midst of a file; elsewhere than on Linux the limits and the closed pipe do."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _guard() -> Callable[[str, tuple[Any, ...]], None]:
    """Build what the interpreter asks before it touches anything outside."""
    paths = sysconfig.get_paths()
    folders = {paths[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {str(CODE / package) for package in ("core", "retrieval")}
    readable = tuple(f"{folder}{os.sep}" for folder in folders)

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN):
            raise PermissionError(f"{event} is not for a reader of files")
        if event == "open" and not isinstance(arguments[0], int):
            path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 - asked often
            known = path.startswith(readable) or path in mimetypes.knownfiles
            if not known or int(arguments[2] or 0) & WRITING:
                raise PermissionError(f"'{path}' is not for a reader of files")

    return check


if __name__ == "__main__":
    main()
