"""Errors of access control: refused requests as problem details, refused settings at start.

Problem
├── UnauthenticatedProblem   401
├── ForbiddenProblem         403
├── MisdirectedProblem       421
└── TooManyRequestsProblem   429
SecurityError                  for the operator: settings and commands
├── SecretFileError
├── TokenError
└── ExposedError
"""

from __future__ import annotations

from service.problems import Problem

__all__ = [
    "ExposedError",
    "ForbiddenProblem",
    "MisdirectedProblem",
    "SecretFileError",
    "SecurityError",
    "TokenError",
    "TooManyRequestsProblem",
    "UnauthenticatedProblem",
]


class UnauthenticatedProblem(Problem):
    """The request needs a token, and it has none or an invalid one."""

    status = 401
    title = "Not authenticated"


class ForbiddenProblem(Problem):
    """The role of the token does not suffice, or the caller may not call without a token."""

    status = 403
    title = "Not allowed"


class MisdirectedProblem(Problem):
    """The ``Host`` of the request is not a name of this service."""

    status = 421
    title = "Unknown host name"


class TooManyRequestsProblem(Problem):
    """The caller exceeds the rate limit; ``Retry-After`` gives the seconds to wait."""

    status = 429
    title = "Too many requests"


class SecurityError(Exception):
    """A setting or a command of the operator is refused; the message gives the remedy."""


class SecretFileError(SecurityError):
    """A file with a secret is missing, unreadable, or too short."""


class TokenError(SecurityError):
    """A token cannot be created, or no token has that name."""


class ExposedError(SecurityError):
    """Other machines could reach the service without a token."""
