"""Errors of the embedded mode.

EmbeddedError
├── HomeError        SASAM_HOME cannot be used, or another supervisor uses it
├── PortInUseError   a port set by the user is in use
└── ChildError       a child process died or did not become healthy
"""

from __future__ import annotations

__all__ = ["ChildError", "EmbeddedError", "HomeError", "PortInUseError"]


class EmbeddedError(RuntimeError):
    """The embedded mode cannot start or continue; the message gives the reason and a remedy."""


class HomeError(EmbeddedError):
    """``SASAM_HOME`` cannot be written, or another supervisor uses it."""


class PortInUseError(EmbeddedError):
    """A port set by the user is in use."""


class ChildError(EmbeddedError):
    """A child process died during start-up, did not become healthy, or died too often."""
