"""Serve Inhouse: `python app.py --host 127.0.0.1 --port 7860 --workspace DIR`."""

import argparse
import contextlib
import functools
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.accounts import Accounts
from core.cli import guarded
from core.errors import SettingsError
from core.health import start_check
from core.home import Home, open_home
from core.lock import serving
from core.settings import Settings
from ui.environment import prepare_environment

if TYPE_CHECKING:
    from ui.services import Services

STOPPING = "Stopping; what is being answered is stored first…"


def main() -> int:
    """Parse flags, open the installation, serve until Ctrl-C; return the exit code."""
    arguments = _parser().parse_args()
    return guarded(lambda: _serve(arguments), arguments.workspace)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python app.py", description="Serve Inhouse.")
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", help="port to listen on (default: 7860)")
    parser.add_argument("--workspace", type=Path, metavar="DIR", help="folder that holds all state")
    parser.add_argument(
        "--no-sample", action="store_true", help="do not load the sample company at first start"
    )
    parser.add_argument(
        "--accept-damage", action="store_true",
        help="start although the database is damaged, without what cannot be read",
    )  # fmt: skip
    return parser


def _serve(arguments: argparse.Namespace) -> int:
    first = functools.partial(start_check, accept=arguments.accept_damage)
    flags = {name: getattr(arguments, name) for name in ("workspace", "host", "port")}
    home = open_home(first, **flags)
    with listening(home.settings) as listener, serving(home.workspace):
        home.workspace.reserve.keep()
        prepare_environment(home.workspace.uploads, home.settings.allow_downloads)
        admin = Accounts(home.database, home.settings).first_run()
        if admin is not None:
            _say_first_sign_in(*admin)
        _run(home, listener, sample=not arguments.no_sample)
    return 0


def _say_first_sign_in(name: str, password: str) -> None:
    print(
        f"  First sign-in: name '{name}', password '{password}' (shown only now)\n"
        "  You will be asked to choose a password of your own.",
        flush=True,
    )


def _run(home: Home, listener: socket.socket, *, sample: bool) -> None:
    # After the environment is prepared, and after a taken port was told: these take seconds.
    from sample.load import load_sample
    from ui.services import open_services

    services = open_services(home)
    if sample:
        print("Looking after the sample company…", flush=True)
        load_sample(home, services.retrieval, services.shelf, services.question_sets)
    serve(services, listener)


def serve(services: "Services", listener: socket.socket) -> None:
    """Serve until somebody stops the process; what is being answered is stored then."""
    import uvicorn

    from ui.departure import Server
    from ui.server import create_app

    config = uvicorn.Config(
        create_app(services), log_level="warning", timeout_graceful_shutdown=5,
        server_header=False, proxy_headers=False,
    )  # fmt: skip
    print(f"Inhouse is at {services.home.settings.url} (Ctrl-C stops it)", flush=True)

    async def farewell() -> None:
        print(STOPPING, flush=True)
        await services.farewell.say()

    Server(config, farewell).run(sockets=[listener])


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """Take the port of the settings.

    Raises:
        SettingsError: it is taken.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # Bound now, so that a taken port is told before models load; uvicorn listens.
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise SettingsError(
                f"Inhouse cannot listen on {settings.host} port {settings.port}: "
                f"{error.strerror}. Stop what uses it, or choose another with --port."
            ) from error
        yield listener


if __name__ == "__main__":
    sys.exit(main())
