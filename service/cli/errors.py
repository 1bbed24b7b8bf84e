"""Error reports of the command line: one line with a remedy, and an exit status.

0 success    1 failure    2 usage, invalid specification or setting    3 some trials failed
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
from service.cli.wording import command_name

if TYPE_CHECKING:
    from service.sweeps.schemas import SweepDetail

__all__ = ["CliError", "ExitStatus", "exit_status", "report_errors"]

_DEBUG_VARIABLE = "SASAM_DEBUG"
_INVALID_STATUS = 422


class ExitStatus(IntEnum):
    """Exit status of a command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTLY_FAILED = 3
    PAUSED = 4
    INTERRUPTED = 130


class CliError(Exception):
    """A command cannot be carried out; the message gives the reason and a remedy."""

    def __init__(self, message: str, status: ExitStatus = ExitStatus.FAILED) -> None:
        super().__init__(message)
        self.status = status


def exit_status(detail: SweepDetail) -> ExitStatus:
    """Return the exit status for a sweep that has ended or is paused."""
    if detail.state == "paused":
        return ExitStatus.PAUSED
    if detail.state != "completed" or detail.progress.failed == detail.progress.total:
        return ExitStatus.FAILED
    return ExitStatus.PARTLY_FAILED if detail.progress.failed else ExitStatus.DONE


@contextmanager
def report_errors() -> Iterator[None]:
    """Report an exception on standard error without a stack trace and end the program.

    ``SASAM_DEBUG=1`` shows the stack trace.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(ExitStatus.INTERRUPTED) from None
    except BrokenPipeError:
        raise  # the reader has closed the pipe; Typer ends the program silently
    except Exception as error:
        if os.environ.get(_DEBUG_VARIABLE) or _is_typers(error):
            raise
        lines, status = _explain(error)
        echo("\n  ".join([f"sasam: {lines[0]}", *lines[1:]]), err=True)
        raise typer.Exit(status) from None


def _is_typers(error: Exception) -> bool:
    """Whether Typer handles the error itself: usage errors and exits."""
    return type(error).__module__.startswith("typer.")


def _explain(error: Exception) -> tuple[list[str], ExitStatus]:
    """Return the lines to print and the exit status."""
    for kind in type(error).__mro__:
        explain = _EXPLANATIONS.get(f"{kind.__module__}.{kind.__qualname__}")
        if explain is not None:
            return explain(error)
    hint = f"set {_DEBUG_VARIABLE}=1 for the details of this defect"
    return [f"{type(error).__name__}: {error} ({hint})"], ExitStatus.FAILED


def _explain_cli_error(error: Any) -> _Explanation:
    return [str(error)], error.status


def _explain_by_message(error: Any) -> _Explanation:
    return [str(error)], ExitStatus.FAILED


def _explain_specification(error: Any) -> _Explanation:
    return ["the specification is invalid", *map(str, error.problems)], ExitStatus.USAGE


def _explain_problem(error: Any) -> _Explanation:
    """Explain why the service refused a request."""
    if error.errors:
        subject = "request" if error.code == "invalid-request" else "specification"
        return [f"the {subject} is invalid", *map(str, error.errors)], ExitStatus.USAGE
    if error.code == "wrong-state":
        return _explain_wrong_state(error)
    status = ExitStatus.USAGE if error.status == _INVALID_STATUS else ExitStatus.FAILED
    remedy = _REMEDIES.get(error.code)
    return [f"{error.detail}; {remedy}" if remedy else error.detail], status


def _explain_wrong_state(error: Any) -> _Explanation:
    """Name the commands that the sweep's state allows, as the command line calls them."""
    allowed = error.extra["allowed"]
    possible = ", ".join(f"`sasam {command_name(command)}`" for command in allowed) or "none"
    message = f"the state of the sweep is {error.extra['state']}; possible commands: {possible}"
    return [message], ExitStatus.FAILED


def _explain_unreachable(error: Any) -> _Explanation:
    remedy = "start one with `sasam up`, or name its address with --url or SASAM_URL"
    return [f"{error}; {remedy}"], ExitStatus.FAILED


def _explain_validation(error: Any) -> _Explanation:
    """Explain invalid settings, one line per environment variable."""
    if error.title not in {"Settings", "EmbeddedSettings"}:
        return [f"{error.title} is invalid: {error}"], ExitStatus.FAILED
    from service.settings import describe_invalid

    return ["a setting is invalid", *describe_invalid(error)], ExitStatus.USAGE


def _explain_os_error(error: Any) -> _Explanation:
    where = f"{error.filename}: " if error.filename else ""
    return [f"{where}{(error.strerror or str(error)).lower()}"], ExitStatus.FAILED


_Explanation = tuple[list[str], ExitStatus]

# By name: importing the exception classes would import the libraries that raise them.
_EXPLANATIONS: dict[str, Callable[[Any], _Explanation]] = {
    "service.backup.errors.BackupError": _explain_by_message,
    "service.cli.errors.CliError": _explain_cli_error,
    "service.client.errors.ProblemError": _explain_problem,
    "service.client.errors.UnreachableError": _explain_unreachable,
    "service.client.errors.ClientError": _explain_by_message,
    "service.embedded.errors.EmbeddedError": _explain_by_message,
    "service.security.errors.SecurityError": _explain_by_message,
    "service.storage.database.SchemaError": _explain_by_message,
    "workers.datasets.errors.DatasetError": _explain_by_message,
    "workers.spec.errors.SpecError": _explain_specification,
    "pydantic_core._pydantic_core.ValidationError": _explain_validation,
    "builtins.OSError": _explain_os_error,
}
_REMEDIES = {
    "not-authenticated": "put a token in SASAM_TOKEN, or in a file that SASAM_TOKEN_FILE names; "
    "an administrator makes one with `sasam token create NAME`",
    "role-too-low": "an administrator makes another one with `sasam token create NAME --role ROLE`",
    "body-too-large": "give values as ranges of a search, or ask the operator to raise "
    "SASAM_MAX_BODY_BYTES",
}
