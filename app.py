"""Serve Inhouse: `python app.py --host 127.0.0.1 --port 7860 --workspace DIR`."""

import argparse
import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from core.accounts import Accounts
from core.cli import guarded
from core.errors import SettingsError
from core.home import Home, open_home
from core.lock import serving
from core.settings import Settings
from ui.environment import prepare_environment


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
    return parser


def _serve(arguments: argparse.Namespace) -> int:
    home = open_home(workspace=arguments.workspace, host=arguments.host, port=arguments.port)
    with _listening(home.settings) as listener, serving(home.workspace):
        prepare_environment(home.workspace.uploads, home.settings.allow_downloads)
        first = Accounts(home.database, home.settings).first_run()
        if first is not None:
            _say_first_sign_in(*first)
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
    import uvicorn

    from sample.load import load_sample
    from ui.server import create_app
    from ui.services import open_services

    services = open_services(home)
    if sample:
        print("Looking after the sample company…", flush=True)
        load_sample(home, services.retrieval, services.shelf, services.question_sets)
    config = uvicorn.Config(
        create_app(services), log_level="warning", timeout_graceful_shutdown=5,
        server_header=False, proxy_headers=False,
    )  # fmt: skip
    print(f"Inhouse is at {home.settings.url} (Ctrl-C stops it)", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
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
