"""`python -m retrieval`: ingest, search, list, delete."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from core.audit import OPERATOR_NAME, Audit
from core.cli import Call, CommandLine, Report
from core.errors import NotFound
from core.permissions import OPERATOR, group_names
from retrieval.ingest_report import IngestReport
from retrieval.leftovers import LeftOut, by_reason
from retrieval.library import Document
from retrieval.passages import Passage
from retrieval.service import open_retrieval

NOTHING_WENT_IN = 2
NOTHING_STORED = (
    "No documents are stored yet. Add some with `python -m retrieval ingest FOLDER` "
    "(with the same --workspace)."
)


class Commands:
    """The handlers; `exit_code` is what the program ends with when none of them raised."""

    exit_code = 0

    def ingest(self, call: Call) -> Report:
        """Ingest files and folders."""
        given = call.arguments
        groups = sorted(group_names(name for text in given.groups for name in text.split(",")))
        report = open_retrieval(call.home).ingestor.ingest(
            given.paths, groups=groups, collection=given.collection, progress=call.progress
        )
        detail = {"groups": groups, "collection": given.collection, "notes": report.notes}
        paths = ", ".join(str(path.absolute()) for path in given.paths)
        Audit(call.home.database).record(OPERATOR_NAME, "documents.add", paths, detail)
        if report.failed and not report.documents and not report.skipped:
            self.exit_code = NOTHING_WENT_IN
        return Report(report.as_json(), _report_text(report))

    def search(self, call: Call) -> Report:
        """Search as the operator, who may read everything."""
        retrieval = open_retrieval(call.home)
        found = retrieval.retriever.search(
            call.arguments.question, limit=call.arguments.limit, reader=OPERATOR
        )
        data = [
            {
                "rank": rank,
                "document": passage.document,
                "location": passage.location,
                "score": round(passage.score, 4),
                "text": passage.text,
            }
            for rank, passage in enumerate(found, 1)
        ]
        empty = "Nothing found." if retrieval.library.count(OPERATOR) else NOTHING_STORED
        return Report(
            data, "\n\n".join(map(_passage_text, range(1, 1 + len(found)), found)) or empty
        )

    def list(self, call: Call) -> Report:
        """List documents."""
        library = open_retrieval(call.home).library
        documents = library.documents(OPERATOR, limit=library.count(OPERATOR) or 1)
        data = [
            {
                "id": document.id,
                "document": document.path,
                "collection": document.collection,
                "title": document.title,
                "chunks": document.chunks,
                "size": document.size,
                "groups": sorted(document.groups),
                "ingested_at": document.ingested_at.isoformat(),
            }
            for document in documents
        ]
        return Report({"documents": data}, _table(documents) if documents else NOTHING_STORED)

    def delete(self, call: Call) -> Report:
        """Delete documents by number."""
        wanted = call.arguments.ids
        library = open_retrieval(call.home).library
        names = [
            document.label
            for document in library.documents(OPERATOR, limit=library.count(OPERATOR) or 1)
            if document.id in wanted
        ]
        deleted = library.delete(wanted)
        if not deleted:
            raise NotFound(
                f"There is no document {', '.join(map(str, wanted))}. "
                "`python -m retrieval list` shows the numbers."
            )
        Audit(call.home.database).record(
            OPERATOR_NAME, "documents.delete", ", ".join(names), {"ids": wanted}
        )
        return Report({"deleted": deleted}, f"Deleted: {deleted}.")


def _report_text(report: IngestReport) -> str:
    lines = [
        f"{report.documents} documents in {report.chunks} chunks, {report.skipped} unchanged, "
        f"{len(report.failed)} left out, {report.seconds:.1f} s."
    ]
    lines += report.notes
    if report.failed:
        lines.append("Left out (--json names every file):")
        lines += [_left_out_text(one) for one in by_reason(report.failed)]
    return "\n".join(lines)


def _left_out_text(left_out: LeftOut) -> str:
    if len(left_out.paths) == 1:
        return f"  {left_out.paths[0]}: {left_out.reason}"
    return f"  {len(left_out.paths):,} files: {left_out.reason}\n      {left_out.examples}"


def _passage_text(rank: int, passage: Passage) -> str:
    place = f" > {passage.location}" if passage.location else ""
    text = textwrap.indent(passage.text, "    ")
    return f"{rank}. {passage.document}{place}  ({passage.score:.2f})\n{text}"


def _table(documents: Sequence[Document]) -> str:
    rows = [("ID", "CHUNKS", "KB", "GROUPS", "DOCUMENT")]
    for document in documents:
        groups = ", ".join(sorted(document.groups)) or "everyone"
        size = f"{document.size / 1000:,.1f}"
        rows.append((str(document.id), str(document.chunks), size, groups, document.label))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        f"{row[0]:>{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  "
        f"{row[3]:<{widths[3]}}  {row[4]}"
        for row in rows
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    commands = Commands()
    line = CommandLine("python -m retrieval", "Ingest documents and search them.")
    ingest = line.add("ingest", commands.ingest, "ingest files, and all files of folders")
    ingest.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file or folder")
    ingest.add_argument(
        "--groups",
        nargs="+",
        default=[],
        metavar="NAME",
        help="only members of these groups may read them (default: everyone)",
    )
    ingest.add_argument(
        "--collection",
        default="",
        metavar="NAME",
        help="tells these files from others of the same path (default: their folder)",
    )
    search = line.add("search", commands.search, "show the passages that fit a question best")
    search.add_argument("question", metavar="Q", help="a question, or words")
    search.add_argument("--limit", type=int, default=5, metavar="K", help="most passages shown")
    line.add("list", commands.list, "list the stored documents")
    delete = line.add("delete", commands.delete, "delete documents and all that came of them")
    delete.add_argument("ids", nargs="+", type=int, metavar="ID", help="numbers as `list` shows")
    return line.run(argv) or commands.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
