"""Dependencies of endpoints: the caller, the request body as text, the application's services."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from service.execution.driver_logs import DriverLogs
from service.external.mlflow_gateway import MlflowGateway
from service.problems import FieldProblem, InvalidProblem, TooLargeProblem
from service.security.access import Principal
from service.services import Services
from service.settings import Settings
from service.storage import Database
from service.summaries.service import SummaryService
from service.sweeps.service import SweepService

__all__ = [
    "Caller",
    "database",
    "driver_logs",
    "mlflow_gateway",
    "read_text",
    "services",
    "settings",
    "summary_service",
    "sweep_service",
]


def _caller(request: Request) -> Principal:
    """The authenticated caller, as identified by the gate."""
    found: Principal = request.state.principal
    return found


Caller = Annotated[Principal, Depends(_caller)]


def services(request: Request) -> Services:
    """The application's services."""
    found: Services = request.app.state.services
    return found


def settings(request: Request) -> Settings:
    """The application's settings."""
    return services(request).settings


def database(request: Request) -> Database:
    """The application's database."""
    return services(request).database


def mlflow_gateway(request: Request) -> MlflowGateway:
    """The application's client of MLflow."""
    return services(request).mlflow


def summary_service(request: Request) -> SummaryService:
    """The application's summaries and figures of sweeps."""
    return services(request).summaries


def sweep_service(request: Request) -> SweepService:
    """Submission and commands of sweeps."""
    return SweepService(database(request), settings(request))


def driver_logs(request: Request) -> DriverLogs:
    """The logs of drivers."""
    return DriverLogs(database(request), services(request).ray)


async def read_text(request: Request) -> str:
    """The body as text; reading stops if it is too large.

    Raises:
        TooLargeProblem: It is larger than `Settings.max_body_bytes`.
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
