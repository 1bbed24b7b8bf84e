"""The whole product on one machine: the service, Ray and MLflow as supervised children."""

from service.embedded.children import EmbeddedSettings
from service.embedded.errors import ChildError, EmbeddedError, HomeError, PortInUseError
from service.embedded.process import StackEvent
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
