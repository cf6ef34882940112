"""What every command line shares."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from core.cli import Call, CommandLine, Report, TerminalProgress, guarded, interruptible
from core.errors import Conflict, InvalidInput, NotFound, Stopped


def commands() -> CommandLine:
    line = CommandLine("python -m thing", "Does things.")
    show = line.add("show", _show, "Show a word.")
    show.add_argument("word")
    line.add("stop", _stop, "Wait for Ctrl-C.")
    line.add("fail", _fail, "Fail.").add_argument("how")
    return line


def _show(call: Call) -> Report:
    sys.stdout.write("a library chats\n")
    call.progress.update(1, 2, "half")
    call.progress.log("a line")
    root = str(call.home.workspace.root)
    return Report({"word": call.arguments.word, "share": float("nan"), "at": root}, text="shown")


def _stop(call: Call) -> Report:
    os.kill(os.getpid(), signal.SIGINT)
    assert call.progress.stop_requested()
    raise Stopped("Stopped; 3 files were ingested.")


def _fail(call: Call) -> Report:
    if call.arguments.how == "bug":
        raise ZeroDivisionError("hidden")
    if call.arguments.how == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    raise NotFound("There is no document 7. See `list`.")


@pytest.mark.parametrize("before", [True, False])
def test_json_prints_one_object_and_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: bool
) -> None:
    flags = ["--workspace", str(tmp_path / "w"), "--json"]
    words = ["show", "Grüße"]
    assert commands().run([*flags, *words] if before else [*words, *flags]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"word": "Grüße", "share": None, "at": str(tmp_path / "w")}
    assert "a library chats" in err


def test_text_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands().run(["show", "x", "--workspace", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("shown\n")
    assert err == ""


def test_mistakes_show_their_message_and_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands().run(["fail", "x", "--workspace", str(tmp_path), "--json"]) == 3
    out, err = capsys.readouterr()
    assert (out, err) == ("", "There is no document 7. See `list`.\n")


def test_faults_show_an_id_that_the_log_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands().run(["fail", "bug", "--workspace", str(tmp_path)]) == 70
    err = capsys.readouterr().err
    assert "hidden" not in err
    fault = err.split()[2].rstrip(";")
    log = (tmp_path / "logs" / "app.log").read_text("utf-8")
    assert fault in log
    assert "ZeroDivisionError: hidden" in log


def test_ctrl_c_asks_once_and_insists_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    assert commands().run(["stop", "--workspace", str(tmp_path)]) == 130
    assert "3 files were ingested" in capsys.readouterr().err
    assert commands().run(["fail", "interrupt", "--workspace", str(tmp_path)]) == 130
    assert "Interrupted." in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is handler


def test_help_and_bad_usage(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        commands().run(["--help"])
    assert caught.value.code == 0
    assert "show" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        commands().run(["shwo", "--workspace", str(tmp_path)])
    assert caught.value.code == 2


def test_unusable_workspace_is_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    assert commands().run(["show", "x", "--workspace", str(file)]) == 6
    assert "is a file, not a folder" in capsys.readouterr().err


def test_guarded_maps_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: BaseException) -> int:
        raise error

    assert guarded(lambda: 5) == 5
    assert guarded(lambda: fail(InvalidInput("bad"))) == 2
    assert guarded(lambda: fail(Conflict("busy"))) == 4
    assert capsys.readouterr().err == "bad\nbusy\n"


class Terminal:
    """A stderr that is a terminal."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.written = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.written += text
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = TerminalProgress()
    with interruptible(progress):
        progress.update(3, 12, "files", seconds_left=9.4)
        progress.log("skipped one")
        progress.update(12, 12, "files")
    progress.close()
    assert "3/12" in terminal.written
    assert "files, 9 s left" in terminal.written
    assert "skipped one" in terminal.written
    assert not progress.stop_requested()
