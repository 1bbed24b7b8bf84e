"""The command ``sasam``."""

from service.cli.application import main

__all__ = ["main"]
