"""Python client of the HTTP API.

from service.client import Client

with Client() as client:
    sweep = client.sweeps.submit(Path("sweep.yaml")).wait()
    print(sweep.summary().optimizer("sa-sam").sentence)
    sweep.figure("accuracy-heatmap").save("accuracy.svg")

``AsyncClient`` has the same methods, awaited.
"""

from service.catalog import CatalogView, EntryView, PresetView
from service.client.client import AsyncClient, Client
from service.client.errors import (
    ClientError,
    FieldProblem,
    MissingPackageError,
    ProblemError,
    TokenFileError,
    UnreachableError,
    UnreadableError,
    VersionWarning,
    WaitTimeoutError,
)
from service.client.figure import Figure
from service.client.specifications import Specification
from service.client.sweep import AsyncSweep, Sweep
from service.client.sweeps import AsyncSweeps, Sweeps
from service.events import Event
from service.sweeps.schemas import RepairView

__all__ = [
    "AsyncClient",
    "AsyncSweep",
    "AsyncSweeps",
    "CatalogView",
    "Client",
    "ClientError",
    "EntryView",
    "Event",
    "FieldProblem",
    "Figure",
    "MissingPackageError",
    "PresetView",
    "ProblemError",
    "RepairView",
    "Specification",
    "Sweep",
    "Sweeps",
    "TokenFileError",
    "UnreachableError",
    "UnreadableError",
    "VersionWarning",
    "WaitTimeoutError",
]
