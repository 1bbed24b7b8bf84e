"""Error handlers of the application: exceptions to RFC 9457 problem details."""

from __future__ import annotations

import logging
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.problems import Problem, problem_response
from service.security.access import Principal, Role
from service.sensitivity.errors import NeedsGridError, NotAvailableError, SummaryError
from service.unavailable import UNAVAILABLE, full_message, public_message
from workers.spec import SpecError

__all__ = ["install_error_handlers", "unavailable_detail"]

log = logging.getLogger(__name__)


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error of ``app`` with problem details."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(SpecError, _on_spec_error)
    app.add_exception_handler(SummaryError, _on_summary_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    for error in UNAVAILABLE:
        app.add_exception_handler(error, _on_unavailable)
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


def unavailable_detail(request: Request, error: Exception) -> str:
    """Message about an unavailable dependency, which is also logged.

    Only administrators read internal addresses and reasons.

    Args:
        request: The request that met the error.
        error: One of `UNAVAILABLE`.
    """
    log.warning("%s %s: %s", request.method, request.scope["path"], full_message(error))
    caller: Principal | None = getattr(request.state, "principal", None)
    is_administrator = caller is not None and caller.role.includes(Role.ADMIN)
    return full_message(error) if is_administrator else public_message(error)


def _on_unavailable(request: Request, error: Exception) -> JSONResponse:
    """The database, Ray or MLflow does not answer; nothing was changed."""
    detail = unavailable_detail(request, error)
    return problem_response(503, "unavailable", "Unavailable", detail)


def _on_defect(_: Request, __: Exception) -> JSONResponse:
    """A defect of the service; only the log has its traceback."""
    detail = "the service failed on this request; its log has the reason"
    return problem_response(500, "internal-error", "Internal error", detail)


def _on_summary_error(_: Request, error: Exception) -> JSONResponse:
    """409 if the sweep cannot be summarised yet; 422 if the request is invalid."""
    may_change = isinstance(error, NotAvailableError) and not isinstance(error, NeedsGridError)
    summary_error = cast(SummaryError, error)
    return problem_response(
        409 if may_change else 422,
        summary_error.code,
        "No answer",
        str(error),
        allowed=list(summary_error.allowed),
    )
