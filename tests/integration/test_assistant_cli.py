"""`python -m assistant ask` as people and programs call it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(tmp_path: Path, models: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "models").symlink_to(models)
    return folder


def test_json_is_one_object_of_the_agreed_shape(workspace: Path) -> None:
    # A process of its own: what libraries say when they are first loaded must not be seen either.
    command = [sys.executable, "-m", "assistant", "ask", "Who wrote Hamlet?", "--mode", "base",
               "--json", "--workspace", str(workspace)]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert set(answer) == {"text", "mode", "adapter", "passages", "cited", "timing"}
    assert set(answer["timing"]) == {
        "search_s", "first_token_s", "total_s", "prompt_tokens", "answer_tokens"
    }  # fmt: skip
    assert "Shakespeare" in answer["text"]
    assert (answer["mode"], answer["adapter"], answer["passages"]) == ("base", None, [])
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((" ", "--mode", "base"), 2, "empty"),
        (("x" * 100_000, "--mode", "base"), 2, "100,000 characters"),
        (("Why?", "--mode", "tuned"), 2, "needs an adapter"),
        (("Why?", "--mode", "tuned", "--adapter", "none"), 3, "no adapter 'none'"),
        (("Why?", "--mode", "best"), 2, "invalid"),
    ],
)
def test_mistakes_have_their_exit_code(
    workspace: Path,
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    try:
        ended: object = main(["ask", *arguments, "--workspace", str(workspace)])
    except SystemExit as refused:
        ended = refused.code
    printed = capfd.readouterr()
    assert ended == code
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
