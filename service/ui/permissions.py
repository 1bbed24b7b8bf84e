"""What the buttons of a page may offer its caller."""

from __future__ import annotations

from service.api.dependencies import Caller
from service.security.access import Principal, required_role

__all__ = ["Caller", "allows"]


def allows(caller: Principal, path: str) -> bool:
    """Whether a caller's role suffices to send a form to ``path``."""
    needed = required_role("POST", path)
    return needed is None or caller.role.includes(needed)
