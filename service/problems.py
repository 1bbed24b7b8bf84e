"""Problems: exceptions that the HTTP API answers as RFC 9457 problem details.

Problem
├── NotFoundProblem      404
├── ConflictProblem      409
├── InvalidProblem       422
├── TooLargeProblem      413
└── UnavailableProblem   503
"""

from __future__ import annotations

from typing import Any, ClassVar

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

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
    "problem_response",
    "problems",
]

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """A request that cannot be answered, for a reason the caller should know.

    Args:
        detail: What was wrong, the value got, what is allowed.
        code: Stable name of the kind of problem.
        extra: Further members of the problem details.
    """

    status: ClassVar[int] = 400
    title: ClassVar[str] = "Bad request"

    def __init__(self, detail: str, *, code: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.extra = extra


class NotFoundProblem(Problem):
    """The requested resource does not exist."""

    status = 404
    title = "Not found"


class ConflictProblem(Problem):
    """The request conflicts with the state of the resource."""

    status = 409
    title = "Conflict"


class TooLargeProblem(Problem):
    """The request body is too large."""

    status = 413
    title = "Too large"


class InvalidProblem(Problem):
    """The request is invalid."""

    status = 422
    title = "Invalid"


class UnavailableProblem(Problem):
    """The database, Ray or MLflow does not answer."""

    status = 503
    title = "Unavailable"


class FieldProblem(BaseModel):
    """An invalid field of the request."""

    path: str
    message: str
    value: str


class ProblemDetails(BaseModel):
    """Problem details by RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []


def problems(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of the problems that an endpoint answers with."""
    possible: list[type[Problem]] = [*kinds, InvalidProblem]
    return {
        kind.status: {"model": ProblemDetails, "description": kind.__doc__} for kind in possible
    }


def problem_response(status: int, code: str, title: str, detail: str, **extra: Any) -> JSONResponse:
    """Response with problem details."""
    body = {"type": f"urn:sasam:{code}", "title": title, "status": status, "detail": detail}
    return JSONResponse(body | extra, status, media_type=MEDIA_TYPE)
