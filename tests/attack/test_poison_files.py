"""Small files that cost much: each costs itself alone, in bounded time, and the rest goes in."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.errors import DocumentError, Stopped
from core.home import Home
from core.permissions import OPERATOR
from core.progress import Silent
from retrieval.loading import Limits, Sandbox
from retrieval.loading.frames import pack
from retrieval.service import open_retrieval
from tests.fakes import HashingEmbedder
from tests.poison import docx_of, pdf_of, repeated, xlsx_of
from tests.waiting import PATIENCE_S, eventually

ROOT = Path(__file__).resolve().parents[2]
MANY = 200_000
LAUGHS = '<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)
)
ALIASES = "---\ntitle: Aliases\na: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
) + "---\nThe body is read.\n"  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One child for all files; ten seconds for what the old patterns took minutes for."""
    with Sandbox(Limits(seconds=10, megabytes=1024)) as opened:
        yield opened


@pytest.mark.parametrize(
    "unit",
    [
        "{{", "{#", "{%", "{% a ", "{% comment %}", "<%", "<%#", "<!--", "](", "]({{a}}",
        "{:", " {#a", "[", "![", "[a](", '[a](x "', "[a](x '", "[a](x (", "[[a] ", "[\n", "[a]: ",
        "`", "`a``a```a", "|", "| a ", "*", "**a ", "_a_ ", "> ", ">", "- ", "1. ", "<", "<a ",
        "]({%a%} ", "</", "<br ", "&", "&#1", "# a\n", "~~~\n", "```\n", "a\n===\n", "\u200b\n",
    ],
)  # fmt: skip
def test_markdown_is_read_in_time_that_grows_with_its_length(sandbox: Sandbox, unit: str) -> None:
    loaded = sandbox.load("x.md", b"Words before.\n\n" + repeated(unit, MANY))
    assert "Words before." in loaded.sections[0].text


@pytest.mark.parametrize(
    "unit",
    [
        "<", "<div>", "<b>", "<table>", "<table><tr><td>", "<td><div>", "<tr><td><div>", "<ul><li>",
        "<h1>a<div>", "<nav>a</nav><p>b</p>", "<!--", "<a b c='d'>", "<a ", "{{", "<%", "&", "<?",
    ],
)  # fmt: skip
def test_html_is_read_in_time_that_grows_with_its_length(sandbox: Sandbox, unit: str) -> None:
    loaded = sandbox.load("x.html", b"<p>Words before.</p>" + repeated(unit, MANY // 4))
    assert "Words before." in loaded.sections[0].text


@pytest.mark.parametrize(
    "head",
    [
        ALIASES.split("---\n")[1],
        "title: T\nx: " + "[" * 50_000,
        "title: T\nx:\n  " + "- " * 20_000,
        "title: T\nn: " + "9" * 50_000,
        "title: T\nwhen: 2001-99-99",
        "title: T\nx: !!python/object/apply:os.system [id]",
        "title: T\na: &a {b: c}\n<<: *a",
        "title: T\na: !!timestamp no\nb: !!int no",
    ],
)
def test_front_matter_costs_and_runs_nothing(sandbox: Sandbox, head: str) -> None:
    loaded = sandbox.load("x.md", f"---\n{head}\n---\nThe body is read.\n".encode())
    assert loaded.title in ("T", "Aliases")
    assert loaded.sections[0].text == "The body is read."


@pytest.mark.parametrize(
    ("text", "declared", "read"),
    [
        ("Smith &foo; Jones", '<!ENTITY foo "and Sons">', "Smith and Sons Jones"),
        ("Smith &foo; Jones", '<!ENTITY foo "&#38;amp; Sons">', "Smith & Sons Jones"),
        ("Smith &foo; Jones", '<!ENTITY foo SYSTEM "file:///etc/passwd">', "Smith Jones"),
        ("Smith <!-- note -->and Jones", "", "Smith and Jones"),
        ("Smith <?note?>and <![CDATA[<Jones>]]> &#233;", "", "Smith and <Jones> é"),
    ],
)
def test_text_behind_an_entity_or_a_comment_is_kept(
    sandbox: Sandbox, text: str, declared: str, read: str
) -> None:
    loaded = sandbox.load("x.docx", docx_of(text, declared))
    assert " ".join(loaded.sections[0].text.split()) == read


REFUSED: list[tuple[str, Callable[[], bytes], str]] = [
    ("a.docx", lambda: docx_of("&a9;", LAUGHS), "damaged"),
    ("a.docx", lambda: docx_of("&a;", '<!ENTITY b "x"><!ENTITY a "&b;">'), "entity bomb"),
    ("a.docx", lambda: docx_of("&a;" * 9, f'<!ENTITY a "{"x" * 2000}">'), "entity bomb"),
    ("a.xlsx", lambda: xlsx_of('<row r="200000000"><c><v>1</v></c></row>'), "row 200,000,000"),
    ("a.xlsx", lambda: xlsx_of('<row r="1"><c r="ZZZ1"><v>1</v></c></row>'), "column 18,278"),
    ("a.xlsx", lambda: xlsx_of(f"<row><c><v>{'9' * 9000}</v></c></row>"), "damaged"),
    ("a.csv", lambda: b"h" * 100_000 + b"\n" + b"1\n" * 200_000, "one text repeated many times"),
    ("a.csv", lambda: b'a,b\n1,"' + b"x\n" * 2_000_000, "cannot be told apart"),
    ("a.pdf", lambda: pdf_of(3, b"BT ET", kids="2 0 R 3 0 R"), "damaged"),
    ("a.pdf", lambda: pdf_of(1, b" " * 80_000_000), "damaged"),
]


@pytest.mark.parametrize(("name", "content", "reason"), REFUSED, ids=[r for _, _, r in REFUSED])
def test_bombs_are_refused_with_reason_and_remedy(
    sandbox: Sandbox, name: str, content: Callable[[], bytes], reason: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        sandbox.load(name, content())
    assert caught.value.message.startswith(f"'{name}': ")
    assert reason in caught.value.message
    assert caught.value.message.count(". ") >= 1  # a remedy follows the reason


def test_a_file_that_takes_too_much_memory_is_refused_and_the_next_is_read() -> None:
    with Sandbox(Limits(megabytes=300)) as own:
        with pytest.raises(DocumentError, match=r"'a\.txt': .*more memory than the 300 MB"):
            own.load("a.txt", b"word " * 20_000_000)
        assert own.load("b.txt", b"Fine.").sections[0].text == "Fine."


@pytest.mark.parametrize(
    ("cells", "rows"),
    [
        ('<row r="1048576"><c r="XFD1048576"><v>7</v></c></row>', [(1048576, "7")]),
        (
            '<row r="2"><c r="B2"><v>7</v></c></row><row r="9"><c r="XFD9"><v>8</v></c></row>',
            [(2, "Columns: 7"), (9, "column 16384: 8")],
        ),
    ],
)
def test_the_last_row_and_column_of_a_sheet_cost_no_more_than_the_first(
    sandbox: Sandbox, cells: str, rows: list[tuple[int, str]]
) -> None:
    (sheet,) = sandbox.load("a.xlsx", xlsx_of(cells)).sections
    assert [(row.number, row.text) for row in sheet.rows] == rows


def test_a_sheet_of_blank_rows_and_far_columns_is_read(sandbox: Sandbox) -> None:
    rows = "".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(1, 3000))
    (sheet,) = sandbox.load("a.xlsx", xlsx_of(rows)).sections
    assert len(sheet.rows) == 2998


SLOW = pdf_of(1, b"BT /F1 12 Tf " + b"(a) Tj " * 600_000 + b"ET")
"""Honest work for minutes: no pattern can be mended against it."""


def test_a_poisoned_upload_costs_the_poisoned_files_alone(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, content in {
        "a-good.md": b"# Leave\nTwelve days.",
        "b-slow.pdf": SLOW,
        "c-good.txt": b"Trains are booked early.",
        "d-aliases.md": ALIASES.encode(),
        "e-templates.md": b"# T\nStill read.\n" + repeated("{{", 40_000),
        "f-far.xlsx": xlsx_of('<row r="200000000"><c><v>1</v></c></row>'),
        "g-good.html": b"<p>Lunch is at noon.</p>",
    }.items():
        (folder / name).write_bytes(content)
    home = Home(
        home.settings.model_copy(update={"reading_seconds": 0.75}), home.workspace, home.database
    )
    retrieval = open_retrieval(home, HashingEmbedder())
    report = retrieval.ingestor.ingest([folder])
    assert [failure.path for failure in report.failed] == ["b-slow.pdf", "f-far.xlsx"]
    assert "takes longer than the 3 seconds" in report.failed[0].reason
    assert "INHOUSE_READING_SECONDS" in report.failed[0].reason
    assert [d.path for d in retrieval.library.documents(OPERATOR)] == [
        "a-good.md", "c-good.txt", "d-aliases.md", "e-templates.md", "g-good.html",
    ]  # fmt: skip


def readers() -> list[psutil.Process]:
    """Children of this process that read files."""
    return [
        child
        for child in psutil.Process().children()
        if "retrieval.loading.child" in " ".join(child.cmdline())
    ]


def new_reader(before: set[int]) -> psutil.Process:
    """The one that was not there before; the list of processes may lag on a busy machine."""
    found: psutil.Process = eventually(
        lambda: next((child for child in readers() if child.pid not in before), None)
    )
    return found


def test_stop_is_heard_while_a_file_is_read(home: Home, tmp_path: Path) -> None:
    class StopsWhileReading(Silent):
        asked: float | None = None

        def stop_requested(self) -> bool:
            busy = any(sum(child.cpu_times()[:2]) > 1.5 for child in readers())
            if self.asked is None and busy:
                self.asked = time.monotonic()
            return self.asked is not None

    (tmp_path / "slow.pdf").write_bytes(SLOW)
    progress = StopsWhileReading()
    ingestor = open_retrieval(home, HashingEmbedder()).ingestor
    before = {child.pid for child in readers()}
    with pytest.raises(Stopped):
        ingestor.ingest([tmp_path / "slow.pdf"], progress=progress)
    assert progress.asked is not None
    assert time.monotonic() - progress.asked < 5
    assert {child.pid for child in readers()} <= before


def test_a_child_that_is_killed_costs_one_file(sandbox: Sandbox) -> None:
    before = {child.pid for child in readers()}
    with Sandbox(Limits()) as own:
        assert own.load("a.txt", b"Fine.").sections[0].text == "Fine."
        child = new_reader(before)
        timer = threading.Timer(1.0, child.send_signal, [signal.SIGSEGV])
        timer.start()
        with pytest.raises(DocumentError, match=r"'b\.pdf': the program that reads it was ended"):
            own.load("b.pdf", SLOW)
        assert own.load("c.txt", b"Fine again.").sections[0].text == "Fine again."


def test_a_child_ends_with_its_parent_even_in_the_midst_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "slow.pdf").write_bytes(SLOW)
    script = (
        "import sys; from pathlib import Path; from retrieval.loading import Limits, Sandbox\n"
        "Sandbox(Limits()).load('slow.pdf', Path(sys.argv[1]).read_bytes())"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "slow.pdf")], cwd=ROOT)
    try:
        found: list[psutil.Process] = []
        deadline = time.monotonic() + PATIENCE_S
        while not (found and sum(found[0].cpu_times()[:2]) > 1) and time.monotonic() < deadline:
            time.sleep(0.05)
            found = psutil.Process(parent.pid).children()
    finally:
        parent.kill()
        parent.wait()
    assert found
    gone, alive = psutil.wait_procs(found, timeout=PATIENCE_S)
    assert gone and not alive


@pytest.mark.parametrize(
    "deed",
    [
        "import socket; socket.socket()",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.fork()",
        "open('/etc/hostname').read()",
        "open('{tmp}/made', 'w')",
        "import os; os.remove('{tmp}/kept')",
    ],
)
def test_the_child_may_only_compute(deed: str, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    script = (
        "import sys\nfrom retrieval.loading.child import _guard\nsys.addaudithook(_guard())\n"
        f"try:\n    exec({deed.format(tmp=tmp_path)!r})\n"
        "except PermissionError as refused:\n    print(refused)\nelse:\n    print('done')"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "is not for a reader of files" in said
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]


def test_the_child_sees_no_secret_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHOUSE_DATABASE_URL", "postgresql://user:secret@host/base")
    before = {child.pid for child in readers()}
    with Sandbox(Limits()) as own:
        own.load("a.txt", b"Fine.")
        child = new_reader(before)
        assert not any(name.startswith("INHOUSE") for name in child.environ())
        limits = {kind: child.rlimit(kind) for kind in (psutil.RLIMIT_AS, psutil.RLIMIT_FSIZE)}
    assert limits == {psutil.RLIMIT_AS: (2048 << 20,) * 2, psutil.RLIMIT_FSIZE: (0, 0)}


def test_a_frame_says_its_length() -> None:
    assert pack(b"abc") == b"\x00" * 7 + b"\x03abc"


def test_a_large_process_starts_one_reader_for_many_files() -> None:
    script = (
        "import psutil; from retrieval.loading import Limits, Sandbox\n"
        "ballast = b'x' * (80 << 20)\n"
        "with Sandbox(Limits(megabytes=128)) as sandbox:\n"
        "    found = set()\n"
        "    for number in range(3):\n"
        "        sandbox.load('a.txt', b'Fine.')\n"
        "        found |= {child.pid for child in psutil.Process().children()}\n"
        "print(len(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"
