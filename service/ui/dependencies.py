"""Dependencies of pages: annotated parameter types, and what the caller may do."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Query

from service.api.dependencies import (
    Caller,
    database,
    driver_logs,
    mlflow_gateway,
    settings,
    summary_service,
    sweep_service,
)
from service.execution.driver_logs import DriverLogs
from service.external.mlflow_gateway import MlflowGateway
from service.security.access import Principal, required_role
from service.settings import Settings
from service.storage import Database
from service.summaries.service import SummaryService
from service.sweeps.service import SweepService

__all__ = [
    "Caller",
    "DatabaseDep",
    "DriverLogsDep",
    "FigureFormat",
    "MlflowDep",
    "SettingsDep",
    "SummariesDep",
    "SweepsDep",
    "Theme",
    "may_post",
]

DatabaseDep = Annotated[Database, Depends(database)]
DriverLogsDep = Annotated[DriverLogs, Depends(driver_logs)]
MlflowDep = Annotated[MlflowGateway, Depends(mlflow_gateway)]
SettingsDep = Annotated[Settings, Depends(settings)]
SummariesDep = Annotated[SummaryService, Depends(summary_service)]
SweepsDep = Annotated[SweepService, Depends(sweep_service)]

FigureFormat = Annotated[Literal["vega-lite", "svg"], Query(alias="format")]
Theme = Literal["light", "dark"]


def may_post(caller: Principal, path: str) -> bool:
    """Whether the caller's role allows it to send a form to ``path``."""
    needed = required_role("POST", path)
    return needed is None or caller.role.includes(needed)
