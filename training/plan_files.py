"""A run's plan on disk: made once, so that documents may change before the run is resumed."""

import hashlib
from pathlib import Path

from core.workspace import write_atomically
from training.schedule import Plan, plan_from_json, plan_to_json


def write_plan(path: Path, made: Plan) -> None:
    """Store a plan below the hash of its text."""
    text = plan_to_json(made)
    write_atomically(path, f"{_hash(text)}\n{text}".encode())


def read_plan(path: Path) -> Plan | None:
    """Return the stored plan; None where it is damaged: its steps would not be those begun with.

    Raises:
        FileNotFoundError: there is none.
    """
    try:
        first, _, text = path.read_text("utf-8").partition("\n")
        if first.startswith("{"):  # Of a version that stored no hash.
            return plan_from_json(first)
        return plan_from_json(text) if first == _hash(text) else None
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
