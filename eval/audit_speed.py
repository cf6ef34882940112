"""Measures one base model in a process of its own: `python -m eval.audit_speed --model MODEL`.

Memory is the growth of a process. In one process the second model would be given what the first
one left, and seem small.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from assistant.engines.base import Sampling
from assistant.modes import Message
from assistant.service import open_model
from core.cli import guarded
from core.errors import EngineError
from core.home import Home, open_home
from core.settings import PREFIX

PROBE = "Write one paragraph about how a company keeps its records in order."
PROBE_TOKENS = 48
REPEATS = 3
PROJECT = Path(__file__).resolve().parent.parent


def measured(home: Home, model: str) -> dict[str, Any]:
    """Measure a model in a child: name, context_tokens, load_s, first_token_s, tokens_per_s,
    memory_mb.

    Raises:
        EngineError: what the child said when it failed.
    """  # noqa: D205 - one list
    given = {name: getattr(home.settings, name) for name in home.settings.model_fields_set}
    variables = {PREFIX + name.upper(): str(value) for name, value in given.items()}
    command = [sys.executable, "-m", "eval.audit_speed", "--model", model,
               "--workspace", str(home.workspace.root)]  # fmt: skip
    done = subprocess.run(  # noqa: S603 - an argument list of our own
        command, cwd=PROJECT, env={**os.environ, **variables}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise EngineError(f"The model '{model}' could not be measured: {lines[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def speed(home: Home) -> dict[str, Any]:
    """Load the model of the settings in this process and time it.

    Raises:
        EngineError: it cannot be loaded, or says nothing.
    """
    process = psutil.Process()
    before, started = process.memory_info().rss, time.monotonic()
    engine = open_model(home)
    name = engine.name
    load = time.monotonic() - started
    firsts, rates = [], []
    for _ in range(REPEATS):
        started, moments = time.monotonic(), []
        for _piece in engine.stream(
            [Message("user", PROBE)], adapter=None, sampling=Sampling(PROBE_TOKENS)
        ):
            moments.append(time.monotonic() - started)
        if len(moments) < 2:
            raise EngineError(f"The model '{name}' says nothing. Check that it is a chat model.")
        firsts.append(moments[0])
        rates.append((len(moments) - 1) / max(moments[-1] - moments[0], 1e-9))
    return {
        "name": name,
        "context_tokens": engine.context_tokens,
        "load_s": load,
        "first_token_s": median(firsts),
        "tokens_per_s": median(rates),
        "memory_mb": max(0, process.memory_info().rss - before) / 1e6,
    }


def _main() -> int:
    parser = argparse.ArgumentParser(description="Measures one model; the audit starts this.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--workspace", type=Path, required=True)
    given = parser.parse_args()

    def run() -> int:
        home = open_home(workspace=given.workspace, model=given.model)
        sys.stdout.write(json.dumps(speed(home)) + "\n")
        return 0

    return guarded(run, given.workspace)


if __name__ == "__main__":
    raise SystemExit(_main())
