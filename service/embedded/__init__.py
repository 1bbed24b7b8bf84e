"""Embedded mode: the service, Ray and MLflow as supervised child processes on one machine."""

from service.embedded.child_commands import EmbeddedSettings
from service.embedded.child_process import StackEvent
from service.embedded.errors import ChildError, EmbeddedError, HomeError, PortInUseError
from service.embedded.stack import Addresses, EmbeddedStack

__all__ = [
    "Addresses",
    "ChildError",
    "EmbeddedError",
    "EmbeddedSettings",
    "EmbeddedStack",
    "HomeError",
    "PortInUseError",
    "StackEvent",
]
