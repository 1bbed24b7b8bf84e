"""Roles, and the rule that determines which role a request needs.

The rule depends on method and path only and covers every path, known or not: a new route needs a
token by default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["LOCAL", "OPEN_PATHS", "Principal", "Role", "required_role"]

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/login", "/logout"})
"""Paths that need no token, besides the static files of the page."""

_OPEN_PREFIX = "/static/"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_ADMIN_PATHS = re.compile(r"/api/v1/(audit|tokens)\b")
_SUBMITTERS_PATHS = re.compile(r"/checkpoint\b")
_ADMIN_COMMANDS = re.compile(r"/(delete|repair)\b")


class Role(StrEnum):
    """What a token permits; each role includes the previous ones."""

    READ = "read"
    """Read everything except the audit log."""
    SUBMIT = "submit"
    """Submit sweeps and command them, download checkpoints."""
    ADMIN = "admin"
    """Delete, repair, read the audit log."""

    def includes(self, other: Role) -> bool:
        """Whether this role may do what ``other`` may."""
        roles = list(Role)
        return roles.index(self) >= roles.index(other)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller.

    Attributes:
        name: Name of the token.
        role: Role of the token.
    """

    name: str
    role: Role


LOCAL = Principal("local", Role.ADMIN)
"""The caller on this machine while no token is required."""


def required_role(method: str, path: str) -> Role | None:
    """The lowest role that may make a request; None if no token is needed."""
    if path in OPEN_PATHS or path.startswith(_OPEN_PREFIX):
        return None
    if _ADMIN_PATHS.search(path):
        return Role.ADMIN
    if method in _SAFE_METHODS:
        return Role.SUBMIT if _SUBMITTERS_PATHS.search(path) else Role.READ
    return Role.ADMIN if method == "DELETE" or _ADMIN_COMMANDS.search(path) else Role.SUBMIT
