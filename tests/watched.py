"""Processes that are watched from their first import on: none may connect to anywhere else.

Any attempt raises in the process, and is recorded.
"""

from pathlib import Path

WATCH = """
import os, sys

def _hook(event, arguments, _log=os.environ["CONNECTIONS"]):
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            _refuse(_log, f"connect {address!r}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        if arguments[0] not in (None, "", b"", "localhost", "127.0.0.1", "::1", b"127.0.0.1"):
            _refuse(_log, f"look up {arguments[0]!r}")
    elif event in ("socket.sendto", "socket.sendmsg"):
        _refuse(_log, f"{event} {arguments[1:]!r}")

def _refuse(log, what):
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{os.getpid()} {what}\\n".encode())
    os.close(handle)
    raise OSError(f"forbidden in this test: {what}")

sys.addaudithook(_hook)
with open(os.environ["CONNECTIONS"], "a") as log:
    log.write(f"{os.getpid()} watched\\n")
"""


def watching(folder: Path) -> dict[str, str]:
    """Return the variables that have a process, and what it starts, record into `folder`."""
    hook = folder / "hook"
    hook.mkdir(parents=True, exist_ok=True)
    (hook / "sitecustomize.py").write_text(WATCH)
    return {"PYTHONPATH": str(hook), "CONNECTIONS": str(folder / "connections.log")}


def recorded(folder: Path) -> tuple[int, list[str]]:
    """Return how many processes were watched, and what they attempted."""
    lines = (folder / "connections.log").read_text().splitlines()
    watched = {line.split()[0] for line in lines if line.endswith("watched")}
    return len(watched), [line for line in lines if not line.endswith("watched")]
