"""Turns what went wrong into a line with the remedy, and into the exit status.

0 done    1 failed    2 usage, an invalid specification or setting    3 some trials failed
4 paused (``watch --exit-on-pause``)    130 interrupted
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import typer

from service.cli.output import echo

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
    PAUSED = 4
    INTERRUPTED = 130


class CliError(Exception):
    """A command cannot do what was asked; the message says why and what helps."""

    def __init__(self, message: str, status: ExitStatus = ExitStatus.FAILED) -> None:
        super().__init__(message)
        self.status = status


def status_of(detail: SweepDetail) -> ExitStatus:
    """The exit status that a sweep's end, or its pause, stands for."""
    if detail.state == "paused":
        return ExitStatus.PAUSED
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
        echo("\n  ".join([f"sasam: {lines[0]}", *lines[1:]]), err=True)
        raise typer.Exit(status) from None


def _is_usage(error: Exception) -> bool:
    """Whether the command line's library explains it: usage errors, and its own exits."""
    return type(error).__module__.startswith("typer.")


def _explain(error: Exception) -> tuple[list[str], ExitStatus]:
    """The lines for a person, and the exit status."""
    for kind in type(error).__mro__:
        explain = _EXPLANATIONS.get(f"{kind.__module__}.{kind.__qualname__}")
        if explain is not None:
            return explain(error)
    hint = f"set {_DEBUG_VARIABLE}=1 for the details of this defect"
    return [f"{type(error).__name__}: {error} ({hint})"], ExitStatus.FAILED


def _own(error: Any) -> _Explanation:
    return [str(error)], error.status


def _plain(error: Any) -> _Explanation:
    return [str(error)], ExitStatus.FAILED


def _specification(error: Any) -> _Explanation:
    return ["the specification is invalid", *map(str, error.problems)], ExitStatus.USAGE


def _problem(error: Any) -> _Explanation:
    """What the service refused."""
    if error.errors:
        return ["the specification is invalid", *map(str, error.errors)], ExitStatus.USAGE
    status = ExitStatus.USAGE if error.status == _INVALID_STATUS else ExitStatus.FAILED
    remedy = _REMEDIES.get(error.code)
    return [f"{error.detail}; {remedy}" if remedy else error.detail], status


def _unreachable(error: Any) -> _Explanation:
    remedy = "start one with `sasam up`, or name its address with --url or SASAM_URL"
    return [f"{error}; {remedy}"], ExitStatus.FAILED


def _validation(error: Any) -> _Explanation:
    """Environment variables that are wrong, a line each."""
    if error.title not in {"Settings", "EmbeddedSettings"}:
        return [f"{error.title} is invalid: {error}"], ExitStatus.FAILED
    from service.settings import describe_invalid

    return ["a setting is invalid", *describe_invalid(error)], ExitStatus.USAGE


def _system(error: Any) -> _Explanation:
    where = f"{error.filename}: " if error.filename else ""
    return [f"{where}{(error.strerror or str(error)).lower()}"], ExitStatus.FAILED


_Explanation = tuple[list[str], ExitStatus]

# By name: importing the classes of errors would import what raises them.
_EXPLANATIONS: dict[str, Callable[[Any], _Explanation]] = {
    "service.cli.failures.CliError": _own,
    "service.client.errors.ProblemError": _problem,
    "service.client.errors.UnreachableError": _unreachable,
    "service.client.errors.ClientError": _plain,
    "service.embedded.errors.EmbeddedError": _plain,
    "service.storage.database.SchemaError": _plain,
    "workers.datasets.errors.DatasetError": _plain,
    "workers.spec.loading.SpecError": _specification,
    "pydantic_core._pydantic_core.ValidationError": _validation,
    "builtins.OSError": _system,
}
_REMEDIES = {
    "not-authenticated": "put a token in SASAM_TOKEN, or in a file that SASAM_TOKEN_FILE names; "
    "an administrator makes one with `sasam token create NAME`",
    "role-too-low": "an administrator makes another one with `sasam token create NAME --role ROLE`",
    "body-too-large": "say values as ranges of a search, or let the operator raise "
    "SASAM_MAX_BODY_BYTES",
}
