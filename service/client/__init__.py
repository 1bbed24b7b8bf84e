"""The HTTP API from Python.

from service.client import Client

with Client() as client:
    sweep = client.sweeps.submit(Path("sweep.yaml")).wait()
    print(sweep.summary().optimizer("sa-sam").sentence)
    sweep.figure("accuracy-heatmap").save("accuracy.svg")

``AsyncClient`` has the same calls, awaited.
"""

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
from service.client.stream import Event
from service.client.sweep import AsyncSweep, Sweep
from service.client.sweeps import AsyncSweeps, Specification, Sweeps
from service.client.views import Catalog, CatalogEntry, Preset, Repaired

__all__ = [
    "AsyncClient",
    "AsyncSweep",
    "AsyncSweeps",
    "Catalog",
    "CatalogEntry",
    "Client",
    "ClientError",
    "Event",
    "FieldProblem",
    "Figure",
    "MissingPackageError",
    "Preset",
    "ProblemError",
    "Repaired",
    "Specification",
    "Sweep",
    "Sweeps",
    "TokenFileError",
    "UnreachableError",
    "UnreadableError",
    "VersionWarning",
    "WaitTimeoutError",
]
