"""The HTTP API from Python.

from service.client import Client

with Client() as client:
    sweep = client.sweeps.submit(Path("sweep.yaml")).wait()
    print(sweep.summary().optimizer("sa-sam").sentence)
    Path("accuracy.svg").write_bytes(sweep.figure("accuracy-heatmap"))
"""

from service.client.client import Client
from service.client.errors import (
    ClientError,
    FieldProblem,
    ProblemError,
    UnreachableError,
    WaitTimeoutError,
)
from service.client.sweeps import Specification, Sweep, Sweeps
from service.client.views import Catalog, CatalogEntry, Preset

__all__ = [
    "Catalog",
    "CatalogEntry",
    "Client",
    "ClientError",
    "FieldProblem",
    "Preset",
    "ProblemError",
    "Specification",
    "Sweep",
    "Sweeps",
    "UnreachableError",
    "WaitTimeoutError",
]
