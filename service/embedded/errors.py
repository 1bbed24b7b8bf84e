"""What can go wrong when one machine runs the whole product.

EmbeddedError
├── HomeError        SASAM_HOME cannot be used, or another supervisor uses it
├── PortInUseError   a port the user fixed is taken
└── ChildError       a child died or did not become healthy
"""

from __future__ import annotations

__all__ = ["ChildError", "EmbeddedError", "HomeError", "PortInUseError"]


class EmbeddedError(RuntimeError):
    """The embedded mode cannot start or go on; the message says why and what helps."""


class HomeError(EmbeddedError):
    """``SASAM_HOME`` cannot be written, or another supervisor holds it."""


class PortInUseError(EmbeddedError):
    """A port the user fixed is taken."""


class ChildError(EmbeddedError):
    """A child died during start-up, did not become healthy, or keeps dying."""
