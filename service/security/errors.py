"""What security refuses: requests, as problems of the API; settings, at start.

Problem
├── UnauthenticatedProblem   401
├── ForbiddenProblem         403
├── MisdirectedProblem       421
└── TooManyRequestsProblem   429
SecurityError                  the operator's to mend
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
    """It needs a token, and there is none or it is not valid."""

    status = 401
    title = "Not authenticated"


class ForbiddenProblem(Problem):
    """The token's role does not allow it."""

    status = 403
    title = "Not allowed"


class MisdirectedProblem(Problem):
    """The request was sent to a name this service does not go by."""

    status = 421
    title = "Unknown host name"


class TooManyRequestsProblem(Problem):
    """This caller asks too often; ``Retry-After`` says when to ask again."""

    status = 429
    title = "Too many requests"


class SecurityError(Exception):
    """A setting or an operator's command cannot stand; the message says what helps."""


class SecretFileError(SecurityError):
    """A file with a secret is missing, cannot be read, or holds none."""


class TokenError(SecurityError):
    """A token cannot be created, or there is none of that name."""


class ExposedError(SecurityError):
    """The service would be reachable from other machines and ask nobody for a token."""
