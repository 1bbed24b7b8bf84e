"""Error handlers of the application: exceptions to RFC 9457 problem details."""

from __future__ import annotations

from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.external.mlflow_gateway import MlflowUnavailableError
from service.external.ray_jobs import RayUnavailableError
from service.first_line import first_line
from service.problems import Problem, problem_response
from service.sensitivity.errors import NeedsGridError, NotAvailableError, SummaryError
from service.storage import DATABASE_AWAY
from workers.spec import SpecError

__all__ = ["install_error_handlers"]


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error of ``app`` with problem details."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(SpecError, _on_spec_error)
    app.add_exception_handler(SummaryError, _on_summary_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RayUnavailableError, _on_unavailable)
    app.add_exception_handler(MlflowUnavailableError, _on_unavailable)
    for error in DATABASE_AWAY:
        app.add_exception_handler(error, _on_database_error)
    app.add_exception_handler(Exception, _on_defect)


def _on_problem(_: Request, error: Exception) -> JSONResponse:
    problem = cast(Problem, error)
    return problem_response(
        problem.status, problem.code, problem.title, problem.detail, **problem.extra
    )


def _on_spec_error(_: Request, error: Exception) -> JSONResponse:
    errors = [problem.as_dict() for problem in cast(SpecError, error).problems]
    return problem_response(
        422, "invalid-specification", "Invalid specification", str(error), errors=errors
    )


def _on_invalid_request(_: Request, error: Exception) -> JSONResponse:
    errors = [
        {
            "path": ".".join(map(str, detail["loc"])),
            "message": detail["msg"],
            "value": repr(detail.get("input"))[:80],
        }
        for detail in cast(RequestValidationError, error).errors()
    ]
    text = "; ".join(f"{e['path']}: {e['message']} (got {e['value']})" for e in errors)
    return problem_response(422, "invalid-request", "Invalid request", text, errors=errors)


def _on_http_exception(_: Request, error: Exception) -> JSONResponse:
    known = cast(HTTPException, error)
    answer = problem_response(
        known.status_code, f"http-{known.status_code}", known.detail, known.detail
    )
    answer.headers.update(known.headers or {})
    return answer


def _on_unavailable(_: Request, error: Exception) -> JSONResponse:
    return problem_response(503, "unavailable", "Unavailable", str(error))


def _on_defect(_: Request, __: Exception) -> JSONResponse:
    """A defect of the service; its traceback is in the log and nowhere else."""
    detail = "the service failed on this request; its log has the reason"
    return problem_response(500, "internal-error", "Internal error", detail)


def _on_database_error(_: Request, error: Exception) -> JSONResponse:
    """The database is away, read-only or too slow; nothing was changed."""
    reason = first_line(error)
    detail = f"the database does not answer: {reason}"
    return problem_response(503, "unavailable", "Unavailable", detail)


def _on_summary_error(_: Request, error: Exception) -> JSONResponse:
    """What cannot be answered yet is a conflict with the sweep; the rest is the caller's."""
    is_for_now = isinstance(error, NotAvailableError) and not isinstance(error, NeedsGridError)
    summary_error = cast(SummaryError, error)
    return problem_response(
        409 if is_for_now else 422,
        summary_error.code,
        "No answer",
        str(error),
        allowed=list(summary_error.allowed),
    )
