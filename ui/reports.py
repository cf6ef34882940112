"""Reports of evaluations and audits, and question sets, as files."""

from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from core.errors import NotFound
from core.permissions import Role, reader_of, require_account, require_admin
from core.values import Id
from eval.question_files import write_csv, write_jsonl
from ui.services import Services

_TYPES = {
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "json": "application/json",
}
_WRITERS = {
    "jsonl": (write_jsonl, "application/x-ndjson"),
    "csv": (write_csv, "text/csv; charset=utf-8"),
}
# The report is a page of its own with its style and script inside: it runs in a sandbox, where
# it has no cookie, no origin and no way out.
_SANDBOX = (
    "sandbox allow-scripts allow-popups allow-downloads; default-src 'none'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)


def report_router(services: Services) -> APIRouter:
    """Return the routes below `/report` and `/questions`."""
    router = APIRouter()
    evaluations = services.evaluations

    @router.get("/report/{evaluation_id}/{kind}")
    def report(request: Request, evaluation_id: Id, kind: str) -> Response:
        account = require_account(request.state.account)
        evaluation = evaluations.get(evaluation_id)
        if evaluation.summary is None and account.role is not Role.ADMIN:
            raise NotFound(f"There is no finished evaluation {evaluation_id}. Choose another.")
        services.row_access.require(evaluation_id, reader_of(account))
        path = evaluations.report_path(evaluation_id, kind)
        return _sent(path, kind, f"evaluation-{evaluation_id}.{kind}")

    @router.get("/report/audit/{audit_id}/{kind}")
    def audit(request: Request, audit_id: Id, kind: str) -> Response:
        require_admin(request.state.account)
        path = services.audits.report_path(audit_id, kind)
        return _sent(path, kind, f"audit-{audit_id}.{kind}")

    @router.get("/questions/{set_id}/{kind}")
    def questions(request: Request, set_id: Id, kind: str) -> Response:
        require_admin(request.state.account)
        found = services.question_sets.get(set_id)
        if kind not in _WRITERS:
            raise NotFound(f"There is no '{kind}' of a question set. Choose jsonl or csv.")
        write, media_type = _WRITERS[kind]
        name = quote(f"{found.name} {found.number}.{kind}", safe="")
        return Response(
            write(found.questions),
            media_type=media_type,
            headers={"content-disposition": f"attachment; filename*=utf-8''{name}"},
        )

    return router


def _sent(path: Path, kind: str, name: str) -> Response:
    response = FileResponse(path, media_type=_TYPES[kind])
    if kind == "html":
        response.headers["content-security-policy"] = _SANDBOX
    else:
        response.headers["content-disposition"] = f'attachment; filename="{name}"'
    return response
