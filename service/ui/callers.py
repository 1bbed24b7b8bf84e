"""Who looks at a page, and what its buttons may offer."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from service.security.access import Principal, required_role

__all__ = ["Caller", "allows"]


def _caller(request: Request) -> Principal:
    """Who asks; the gate has asked before."""
    found: Principal = request.state.principal
    return found


Caller = Annotated[Principal, Depends(_caller)]


def allows(caller: Principal, path: str) -> bool:
    """Whether a caller's role suffices to send a form to ``path``."""
    needed = required_role("POST", path)
    return needed is None or caller.role.includes(needed)
