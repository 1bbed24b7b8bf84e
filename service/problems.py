"""Errors of the HTTP API, answered as RFC 9457 problem details.

Problem
├── NotFoundProblem      404
├── ConflictProblem      409
├── InvalidProblem       422
├── TooLargeProblem      413
└── UnavailableProblem   503
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from service.external.mlflow_gateway import MlflowUnavailableError
from service.external.ray_jobs import RayUnavailableError
from workers.spec import SpecError

__all__ = [
    "MEDIA_TYPE",
    "ConflictProblem",
    "FieldProblem",
    "InvalidProblem",
    "NotFoundProblem",
    "Problem",
    "ProblemDetails",
    "TooLargeProblem",
    "UnavailableProblem",
    "install_error_handlers",
    "problem_response",
    "problems",
]

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """Something the caller should know.

    Args:
        detail: What was wrong, the value got, what is allowed.
        code: Stable name of the problem.
        extra: Further members of the answer.
    """

    status: ClassVar[int] = 400
    title: ClassVar[str] = "Bad request"

    def __init__(self, detail: str, *, code: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.extra = extra


class NotFoundProblem(Problem):
    """There is no such thing."""

    status = 404
    title = "Not found"


class ConflictProblem(Problem):
    """Not in this state."""

    status = 409
    title = "Conflict"


class TooLargeProblem(Problem):
    """The request body is too large."""

    status = 413
    title = "Too large"


class InvalidProblem(Problem):
    """The request makes no sense."""

    status = 422
    title = "Invalid"


class UnavailableProblem(Problem):
    """A neighbour of the service does not answer."""

    status = 503
    title = "Unavailable"


class FieldProblem(BaseModel):
    """One thing wrong with the request."""

    path: str
    message: str
    value: str


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error of ``app`` as problem details."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(SpecError, _on_spec_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RayUnavailableError, _on_unavailable)
    app.add_exception_handler(MlflowUnavailableError, _on_unavailable)
    app.add_exception_handler(Exception, _on_defect)


def problems(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """What the API's document says of the problems an endpoint answers with."""
    every: list[type[Problem]] = [*kinds, InvalidProblem]
    return {kind.status: {"model": ProblemDetails, "description": kind.__doc__} for kind in every}


def problem_response(status: int, code: str, title: str, detail: str, **extra: Any) -> JSONResponse:
    """An answer of problem details."""
    body = {"type": f"urn:sasam:{code}", "title": title, "status": status, "detail": detail}
    return JSONResponse(body | extra, status, media_type=MEDIA_TYPE)


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
