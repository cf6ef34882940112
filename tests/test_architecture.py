"""The house's rules, held by reading the source: floors, circles, heavy imports, sizes, laws."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOORS = {"core": 0, "retrieval": 1, "assistant": 2, "training": 3, "eval": 3, "ui": 4, "app": 5}
"""A package imports only from floors below its own, and from itself."""

ENGINE = "assistant/engines/transformers_*.py"
EMBEDDING = "retrieval/embedding.py"
EVIDENCE = "retrieval/evidence_model.py"
TRAINER = "training/*trainer.py"
TOKENIZER = "training/tokenizer.py"
CHECKPOINT = "training/checkpoint.py"

HEAVY = {
    "torch": {ENGINE, EMBEDDING, EVIDENCE, TRAINER, CHECKPOINT},
    "transformers": {ENGINE, EMBEDDING, EVIDENCE, TRAINER, TOKENIZER},
    "peft": {ENGINE, EVIDENCE, TRAINER},
    "trl": {TRAINER},
    "bitsandbytes": {ENGINE, TRAINER},
    "faiss": {"retrieval/index.py"},
    "sentence_transformers": {EMBEDDING},
    "openvino": set(),
    "gradio": {"ui/*.py"},
}
"""Each heavy library, and the edge files that may import it: one edge a job, split by size."""

LARGER: dict[str, str] = {}
"""Modules over 400 lines or functions over 50, and why."""

SOURCES = [
    ROOT / "app.py",
    *sorted(
        path
        for package in FLOORS
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts
    ),
]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Everything in a file, which is read once for all tests."""
    return list(ast.walk(ast.parse(path.read_text("utf-8"))))


@cache
def imported(path: Path) -> list[str]:
    """Full names of all modules that `path` imports, also inside functions."""
    return list(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                is_module = (ROOT / full.replace(".", "/")).with_suffix(".py").exists()
                yield full if is_module else str(node.module)


def package(path: Path) -> str:
    return relative(path).removesuffix(".py").split("/", maxsplit=1)[0]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_floor_imports_only_from_floors_below(path: Path) -> None:
    own = package(path)
    for name in imported(path):
        top = name.split(".")[0]
        if top in FLOORS and top != own:
            assert FLOORS[top] < FLOORS[own], f"{relative(path)} imports {name}"
        assert top != "tests", f"{relative(path)} imports tests"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_heavy_libraries_stay_at_their_edge(path: Path) -> None:
    for name in imported(path):
        top = name.split(".")[0]
        if top in HEAVY:
            allowed = any(fnmatch(relative(path), edge) for edge in HEAVY[top])
            assert allowed, f"{relative(path)} imports {name}"


def test_modules_do_not_import_in_circles() -> None:
    modules = {
        relative(p).removesuffix(".py").removesuffix("/__init__").replace("/", "."): p
        for p in SOURCES
    }
    arrows = {n: {i for i in imported(p) if i in modules and i != n} for n, p in modules.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for below in sorted(arrows[name]):
                visit(below, (*trail, name))
            done.add(name)

    for name in sorted(modules):
        visit(name, ())


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_and_functions_stay_small(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= 400 or relative(path) in LARGER, f"{relative(path)}: {lines} lines"
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            name = f"{relative(path)}:{node.name}"
            assert length <= 50 or name in LARGER, f"{name}: {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_laws_that_can_be_read_in_the_source(path: Path) -> None:
    for name in imported(path):
        assert name.split(".")[0] not in {"pickle", "dill", "cloudpickle", "joblib", "shelve"}
    for node in nodes(path):
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            forbidden = node.arg in {"trust_remote_code", "shell"} and node.value.value is True
            assert not forbidden, f"{relative(path)}:{node.value.lineno} {node.arg}=True"
        assert not isinstance(node, ast.Global), f"{relative(path)}: a global is assigned"


def test_pages_hold_no_sql() -> None:
    for path in SOURCES:
        if package(path) == "ui":
            assert not {n.split(".")[0] for n in imported(path)} & {"sqlalchemy", "alembic"}


def test_every_exception_to_the_sizes_is_still_needed() -> None:
    for name in LARGER:
        assert (ROOT / name.split(":", maxsplit=1)[0]).exists(), f"{name} is gone"


def test_the_default_adapter_is_set_through_the_gate_only() -> None:
    doors = {
        relative(path)
        for path in [*SOURCES, *(ROOT / "sample").glob("*.py")]
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr == "set_default"
    }
    assert doors == {"eval/gate.py", "assistant/shelf.py"}
