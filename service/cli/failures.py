"""Turns what went wrong into a line with the remedy, and into the exit status.

0 done    1 failed    2 usage, an invalid specification or setting    3 some trials failed
130 interrupted
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from service.sweeps.schemas import SweepDetail

__all__ = ["CliError", "ExitStatus", "reported", "status_of"]

_DEBUG_VARIABLE = "SASAM_DEBUG"
_INVALID_STATUS = 422


class ExitStatus(IntEnum):
    """What a script learns from a command's end."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTLY_FAILED = 3
    INTERRUPTED = 130


class CliError(Exception):
    """A command cannot do what was asked; the message says why and what helps."""

    def __init__(self, message: str, status: ExitStatus = ExitStatus.FAILED) -> None:
        super().__init__(message)
        self.status = status


def status_of(detail: SweepDetail) -> ExitStatus:
    """The exit status that a sweep's end stands for."""
    if detail.state != "completed" or detail.progress.failed == detail.progress.total:
        return ExitStatus.FAILED
    return ExitStatus.PARTLY_FAILED if detail.progress.failed else ExitStatus.DONE


@contextmanager
def reported() -> Iterator[None]:
    """End the program with a line on standard error instead of a stack trace.

    ``SASAM_DEBUG=1`` shows the trace.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(ExitStatus.INTERRUPTED) from None
    except BrokenPipeError:
        raise  # whoever read us has had enough; the command line's library ends in silence
    except Exception as error:
        if os.environ.get(_DEBUG_VARIABLE) or _is_usage(error):
            raise
        lines, status = _explain(error)
        typer.echo("\n  ".join([f"sasam: {lines[0]}", *lines[1:]]), err=True)
        raise typer.Exit(status) from None


def _is_usage(error: Exception) -> bool:
    """Whether the command line's library explains it: usage errors, and its own exits."""
    return type(error).__module__.startswith("typer.")


def _explain(error: Exception) -> tuple[list[str], ExitStatus]:
    """The lines for a person, and the exit status."""
    from pydantic import ValidationError

    from service.client.errors import ClientError, ProblemError, UnreachableError
    from service.embedded.errors import EmbeddedError
    from workers.datasets.errors import DatasetError
    from workers.spec import SpecError

    match error:
        case CliError():
            return [str(error)], error.status
        case ProblemError(errors=errors) if errors:
            return ["the specification is invalid", *map(str, errors)], ExitStatus.USAGE
        case SpecError():
            lines = ["the specification is invalid", *map(str, error.problems)]
            return lines, ExitStatus.USAGE
        case ProblemError(status=status):
            usage = status == _INVALID_STATUS
            return [error.detail], ExitStatus.USAGE if usage else ExitStatus.FAILED
        case UnreachableError():
            remedy = "start one with `sasam up`, or name its address with --url or SASAM_URL"
            return [f"{error}; {remedy}"], ExitStatus.FAILED
        case ClientError() | EmbeddedError() | DatasetError():
            return [str(error)], ExitStatus.FAILED
        case ValidationError(title="Settings" | "EmbeddedSettings"):
            return ["a setting is invalid", *_settings(error)], ExitStatus.USAGE
        case OSError(filename=filename, strerror=reason) if reason:
            where = f"{filename}: " if filename else ""
            return [f"{where}{reason.lower()}"], ExitStatus.FAILED
        case _:
            hint = f"set {_DEBUG_VARIABLE}=1 for the details of this defect"
            return [f"{type(error).__name__}: {error} ({hint})"], ExitStatus.FAILED


def _settings(error: Exception) -> Iterator[str]:
    """The environment variables that are wrong, a line each."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        for detail in error.errors(include_url=False):
            name = "_".join(str(part) for part in detail["loc"]).upper()
            yield f"SASAM_{name}: {detail['msg'].lower()} (got {detail['input']!r})"
