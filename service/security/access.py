"""Who may do what: roles, and the one rule that says which role a request needs.

The rule knows methods and paths alone and holds for every path, known or not: a new route is
behind a token before anyone thinks of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["LOCAL", "OPEN_PATHS", "Principal", "Role", "required_role"]

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/login", "/logout"})
"""What anyone may ask, besides the static files of the page."""

_OPEN_FOLDER = "/static/"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_ADMINISTRATION = re.compile(r"/api/v1/(audit|tokens)\b")
_DESTRUCTION = re.compile(r"/(delete|repair)\b")


class Role(StrEnum):
    """What a token allows; each role includes those before it."""

    READ = "read"
    """See everything but the audit log."""
    SUBMIT = "submit"
    """Submit sweeps and command them."""
    ADMIN = "admin"
    """Delete, repair, see the audit log."""

    def includes(self, other: Role) -> bool:
        """Whether this role may do what ``other`` may."""
        roles = list(Role)
        return roles.index(self) >= roles.index(other)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Attributes:
        name: Name of the token.
        role: What it allows.
    """

    name: str
    role: Role


LOCAL = Principal("local", Role.ADMIN)
"""Whoever sits at this machine, where no token is asked for."""


def required_role(method: str, path: str) -> Role | None:
    """The least role a request needs; None for what anyone may ask."""
    if path in OPEN_PATHS or path.startswith(_OPEN_FOLDER):
        return None
    if _ADMINISTRATION.search(path):
        return Role.ADMIN
    if method in _READING:
        return Role.READ
    return Role.ADMIN if method == "DELETE" or _DESTRUCTION.search(path) else Role.SUBMIT
