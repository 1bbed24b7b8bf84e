"""A real service that several folders share."""

from tests.support.running_service import service, specification, start_service

__all__ = ["service", "specification", "start_service"]
