"""Problems that the HTTP API answers with, as RFC 9457 problem details.

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


def problems(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """What the API's document says of the problems an endpoint answers with."""
    every: list[type[Problem]] = [*kinds, InvalidProblem]
    return {kind.status: {"model": ProblemDetails, "description": kind.__doc__} for kind in every}


def problem_response(status: int, code: str, title: str, detail: str, **extra: Any) -> JSONResponse:
    """An answer of problem details."""
    body = {"type": f"urn:sasam:{code}", "title": title, "status": status, "detail": detail}
    return JSONResponse(body | extra, status, media_type=MEDIA_TYPE)
