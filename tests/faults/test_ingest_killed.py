"""An ingest that replaces documents is killed: every row has the bytes that it names."""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

from core.home import open_home
from core.permissions import OPERATOR
from retrieval.service import open_retrieval
from tests.fakes import HashingEmbedder
from tests.running import ROOT
from tests.waiting import PATIENCE_S

DOCUMENTS = 12
INGEST = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from core.home import open_home
from retrieval.service import open_retrieval
from tests.fakes import HashingEmbedder
home = open_home(workspace=Path(sys.argv[1]), chunk_tokens=32, chunk_overlap=0)
print("ready", flush=True)
open_retrieval(home, HashingEmbedder()).ingestor.ingest([Path(sys.argv[2])])
"""


def write(folder: Path, version: str) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(DOCUMENTS):
        (folder / f"d{number:02}.md").write_text(f"{version}{number} " * 1_500)


def test_rows_and_originals_agree_after_a_kill(tmp_path: Path) -> None:
    docs, workspace = tmp_path / "docs", tmp_path / "w"
    # Small chunks: several batches, and so several commits, of little text.
    home = open_home(workspace=workspace, chunk_tokens=32, chunk_overlap=0)
    retrieval = open_retrieval(home, HashingEmbedder())
    write(docs, "old")
    retrieval.ingestor.ingest([docs], groups={"hr"})
    before = {one.path: one.sha256 for one in retrieval.library.documents(OPERATOR)}
    write(docs, "new")
    child = subprocess.Popen(
        [sys.executable, "-c", INGEST, str(workspace), str(docs), str(ROOT)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert child.stdout
    child.stdout.readline()
    deadline = time.monotonic() + PATIENCE_S
    while child.poll() is None and time.monotonic() < deadline:
        now = retrieval.library.documents(OPERATOR)
        if any(one.sha256 != before[one.path] for one in now):
            break
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=PATIENCE_S)
    child.stdout.close()
    stored = retrieval.library.documents(OPERATOR)
    assert len(stored) == DOCUMENTS
    for one in stored:
        content = retrieval.library.original(one.id, OPERATOR).read_bytes()
        assert hashlib.sha256(content).hexdigest() == one.sha256
        assert one.groups == {"hr"}
    report = retrieval.ingestor.ingest([docs])
    assert (report.documents + report.skipped, report.failed) == (DOCUMENTS, [])
    files = [file for file in home.workspace.files.rglob("*") if file.is_file()]
    assert len(files) == DOCUMENTS
    assert all(file.read_text().startswith("new") for file in files)
    home.database.close()
