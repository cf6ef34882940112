"""Small parts of core: permissions, estimates, values, settings, workspace, lock, logs."""

import json
import math
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Conflict, PermissionDenied, SettingsError, SignInRequired, WorkspaceError
from core.estimate import TimeLeft
from core.lock import serving
from core.logs import LARGEST, record_fault
from core.passwords import name_key
from core.permissions import (
    OPERATOR,
    Account,
    Reader,
    Role,
    reader_of,
    require_account,
    require_admin,
)
from core.settings import read_settings
from core.values import LONGEST_LINE, plain, storable
from core.workspace import Workspace, folder_written_atomically, write_atomically

PROJECT = Path(__file__).resolve().parents[2]
groups = st.frozensets(st.sampled_from(["hr", "legal", "it", "board"]))


@given(groups, groups, groups)
def test_reading_is_monotone(
    mine: frozenset[str], more: frozenset[str], of: frozenset[str]
) -> None:
    reader = Reader(mine)
    assert reader.may_read(frozenset())
    assert OPERATOR.may_read(of)
    assert reader.may_read(of) == (not of or not mine.isdisjoint(of))
    if reader.may_read(of):
        assert Reader(mine | more).may_read(of)


@given(groups, groups, st.booleans())
def test_roles(mine: frozenset[str], of: frozenset[str], must_change: bool) -> None:
    employee = Account(1, "ada", Role.EMPLOYEE, mine, must_change)
    admin = Account(2, "root", Role.ADMIN, mine, must_change)
    assert reader_of(employee) == Reader(mine)
    assert reader_of(admin).may_read(of)
    for account in (employee, admin):
        if must_change:
            with pytest.raises(SignInRequired):
                require_account(account)
        else:
            assert require_account(account) is account
    with pytest.raises(SignInRequired if must_change else PermissionDenied):
        require_admin(employee)
    with pytest.raises(SignInRequired):
        require_admin(None)


@given(st.floats(0.01, 1e4), st.integers(2, 200), st.floats(0.01, 100))
def test_time_left_of_steady_work_is_exact(rate: float, steps: int, pause: float) -> None:
    estimate = TimeLeft()
    assert estimate.report(0, steps, 0.0) is None
    for step in range(1, steps):
        left = estimate.report(step, steps, step * pause * rate)
        assert left is not None
        assert math.isclose(left, (steps - step) * pause * rate, rel_tol=1e-6)
    assert estimate.report(steps, steps, steps * pause * rate) == 0.0


@given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1e6))))
def test_time_left_is_never_negative_or_infinite(reports: list[tuple[float, float, float]]) -> None:
    estimate, at = TimeLeft(), 0.0
    for done, total, pause in reports:
        at += pause
        left = estimate.report(done, total, at)
        assert left is None or (left >= 0 and math.isfinite(left))


def test_time_left_forgets_a_slow_start() -> None:
    estimate = TimeLeft()
    estimate.report(0, 1000, 0.0)
    estimate.report(1, 1000, 600.0)
    for second in range(60):
        left = estimate.report(1 + second, 1000, 600.0 + second)
    assert left is not None
    assert left < 1000


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=40)
@given(json_values)
def test_plain_values_are_strict_json(value: Any) -> None:
    assert plain(json.loads(json.dumps(plain(value), allow_nan=False))) == plain(value)


@given(st.text(st.characters()), st.integers(1, 50))
def test_storable_text_fits_and_encodes(text: str, longest: int) -> None:
    stored = storable(text, longest)
    assert len(stored) <= longest
    assert "\0" not in stored
    stored.encode("utf-8")
    half_pairs = any("\ud800" <= letter <= "\udfff" for letter in text)
    if len(text) <= longest and "\0" not in text and not half_pairs:
        assert stored == text


def test_storable_replaces_what_databases_refuse() -> None:
    assert storable("a\0b\udcff") == "a\N{REPLACEMENT CHARACTER}b?"
    assert len(storable("x" * 10_000)) == LONGEST_LINE


@given(st.text())
def test_name_key_is_stable_in_case(name: str) -> None:
    assert name_key(name_key(name)) == name_key(name_key(name_key(name)))
    assert name_key("ADA") == name_key(" ada ")


def test_settings_name_every_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHOUSE_PORT", "99999")
    monkeypatch.setenv("INHOUSE_PARALLEL_JOBS", "many")
    with pytest.raises(SettingsError) as caught:
        read_settings(session_hours=-1)
    for part in ("INHOUSE_PORT='99999'", "INHOUSE_PARALLEL_JOBS='many'", "--session-hours=-1"):
        assert part in caught.value.message


def test_flags_win_over_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHOUSE_PORT", "8000")
    assert read_settings(port=9000, host=None).port == 9000
    assert read_settings().url == "http://127.0.0.1:8000"
    assert read_settings(host="::1", port=1).url == "http://[::1]:1"


def test_workspace_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    Workspace(tmp_path)
    (tmp_path / "workspace.json").write_text('{"format": 99}')
    with pytest.raises(WorkspaceError, match="format 99"):
        Workspace(tmp_path)
    (tmp_path / "workspace.json").write_text("{")
    with pytest.raises(WorkspaceError, match="damaged"):
        Workspace(tmp_path)


def test_workspace_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="--workspace"):
        Workspace(tmp_path / "file" / "inside")


def test_read_only_workspace_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        read_only = Path("/proc/inhouse")
    else:
        read_only = tmp_path / "closed"
        read_only.mkdir()
        read_only.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(WorkspaceError, match="cannot be written"):
        Workspace(read_only)


def test_folder_is_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    with pytest.raises(ValueError, match="half"), folder_written_atomically(target) as beside:
        (beside / "a").write_text("a")
        raise ValueError("half")
    assert list(tmp_path.iterdir()) == []
    with folder_written_atomically(target) as beside:
        (beside / "a").write_text("a")
    assert (target / "a").read_text() == "a"
    with pytest.raises(FileExistsError), folder_written_atomically(target):
        pass
    write_atomically(target / "a", b"b")
    assert [path.name for path in target.iterdir()] == ["a"]


def test_second_app_on_a_workspace_is_told_the_first_ones_process(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    program = (
        "import sys; from pathlib import Path; from core.lock import serving\n"
        "from core.workspace import Workspace\n"
        "with serving(Workspace(Path(sys.argv[1]))):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Conflict, match=f"process {other.pid}"), serving(workspace):
            pass
        other.kill()
        other.wait()
    with (
        serving(workspace),
        pytest.raises(Conflict, match=f"process {os.getpid()}"),
        serving(workspace),
    ):
        pass
    with serving(workspace):
        pass


def test_log_turns_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "app.log").write_bytes(b"x" * (LARGEST + 1))
    fault = record_fault(tmp_path, ValueError("odd \udcff"), "testing")
    assert fault in (tmp_path / "app.log").read_text("utf-8")
    assert (tmp_path / "app.log.1").exists()
    assert record_fault(tmp_path / "nowhere", ValueError("x"), "testing") in capsys.readouterr().err
