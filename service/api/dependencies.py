"""What endpoints are given: the caller, the body as text, the services of the application."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from service.external.mlflow_gateway import MlflowGateway
from service.problems import FieldProblem, InvalidProblem, TooLargeProblem
from service.security.access import Principal
from service.settings import Settings
from service.storage import Database
from service.summaries.service import SummaryService
from service.sweeps.service import SweepService

__all__ = [
    "Caller",
    "database",
    "mlflow_results",
    "read_text",
    "settings",
    "summary_service",
    "sweep_service",
]


def _caller(request: Request) -> Principal:
    """The authenticated caller, as identified by the gate."""
    found: Principal = request.state.principal
    return found


Caller = Annotated[Principal, Depends(_caller)]


def settings(request: Request) -> Settings:
    """The application's settings."""
    found: Settings = request.app.state.settings
    return found


def database(request: Request) -> Database:
    """The application's database."""
    found: Database = request.app.state.database
    return found


def mlflow_results(request: Request) -> MlflowGateway:
    """The application's view of MLflow."""
    found: MlflowGateway = request.app.state.results
    return found


def summary_service(request: Request) -> SummaryService:
    """The application's summaries and figures of sweeps."""
    found: SummaryService = request.app.state.summaries
    return found


def sweep_service(request: Request) -> SweepService:
    """Decides about sweeps."""
    return SweepService(database(request), settings(request))


async def read_text(request: Request) -> str:
    """The body as text; reading stops where it is too large.

    Raises:
        TooLargeProblem: It is larger than the settings allow.
        InvalidProblem: It is not UTF-8.
    """
    limit = settings(request).max_body_bytes
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            detail = f"the body is larger than {limit} bytes"
            raise TooLargeProblem(detail, code="body-too-large", limit_bytes=limit)
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        message = f"not UTF-8 text: {error.reason} at byte {error.start}"
        place = FieldProblem(path="", message=message, value=repr(bytes(body[:40])))
        detail = f"the body is {message}"
        raise InvalidProblem(detail, code="not-text", errors=[place.model_dump()]) from None
