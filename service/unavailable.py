"""Errors of unavailable dependencies, and their messages with and without internal addresses.

Exceptions of Ray and MLflow:

ExternalServiceError
├── RayUnavailableError
└── MlflowUnavailableError

Those of the database are SQLAlchemy's, `DATABASE_UNAVAILABLE`.
"""

from __future__ import annotations

from service.first_line import first_line
from service.storage import DATABASE_UNAVAILABLE

__all__ = [
    "UNAVAILABLE",
    "ExternalServiceError",
    "MlflowUnavailableError",
    "RayUnavailableError",
    "full_message",
    "public_message",
]


class ExternalServiceError(RuntimeError):
    """An external service does not answer, or refuses a request.

    Its text goes to every caller, so it names the setting that holds the address, not the address.

    Args:
        message: What is wrong, without addresses, paths and texts of the external service.
        detail: Address and reason; for the log and for administrators.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class RayUnavailableError(ExternalServiceError):
    """Ray does not answer, refuses a request, or is too old."""


class MlflowUnavailableError(ExternalServiceError):
    """MLflow does not answer, or refuses a request."""


UNAVAILABLE = (ExternalServiceError, *DATABASE_UNAVAILABLE)
"""Errors of Ray, MLflow and the database that may be gone at the next request."""

_DATABASE = "the database does not answer at SASAM_DATABASE_URL"


def public_message(error: Exception) -> str:
    """What is unavailable, for every caller: the setting that holds an address, not the address.

    Args:
        error: One of `UNAVAILABLE`, or another error of SQLAlchemy.
    """
    return str(error) if isinstance(error, ExternalServiceError) else _DATABASE


def full_message(error: Exception) -> str:
    """What is unavailable and why, in one line, for the log and for administrators.

    Args:
        error: One of `UNAVAILABLE`, or another error of SQLAlchemy.
    """
    detail = error.detail if isinstance(error, ExternalServiceError) else first_line(error)
    return f"{public_message(error)} ({detail})" if detail else public_message(error)
