"""The program ``sasam``: registration of its commands, and their error reports.

Importing this module must be fast: a command imports its libraries when it runs.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from service.cli import (
    catalog,
    data,
    doctor,
    export,
    figures,
    init,
    logs,
    maintenance,
    optimizers,
    stack,
    summaries,
    sweeps,
    tokens,
    trials,
)
from service.cli.errors import report_errors
from service.cli.output import echo

__all__ = ["app", "main"]


class _Group(TyperGroup):
    """Commands whose errors are reported without a stack trace."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with report_errors():
            return super().invoke(ctx)


class _Command(TyperCommand):
    """A command with ``--json`` for ``--output json``, if it has that option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments."""
        end = args.index("--") if "--" in args else len(args)
        if any("--output" in parameter.opts for parameter in self.params):
            options = ["--output=json" if text == "--json" else text for text in args[:end]]
            args = options + args[end:]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="sasam",
    cls=_Group,
    help="How much does an optimizer depend on tuning?",
    epilog="Exit status: 0 done, 1 failed, 2 usage, 3 partly failed, 4 paused, 130 interrupted.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(is_requested: bool) -> None:
    if is_requested:
        from importlib.metadata import version

        echo(version("sasam"))
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """How much does an optimizer depend on tuning?"""


def _register(group: typer.Typer, panel: str | None, *commands: Any) -> None:
    """Add functions as commands, named by the function, with the examples attached to it."""
    for command in commands:
        examples = "\n\n".join(f"  {line}" for line in getattr(command, "examples", ()))
        group.command(
            command.__name__.strip("_"),
            cls=_Command,
            rich_help_panel=panel,
            epilog=f"Examples:\n\n{examples}" if examples else None,
        )(command)


_register(app, "On this machine", stack.up, stack.demo, stack.serve, doctor.doctor)
_register(app, "On this machine", maintenance.backup, maintenance.restore, maintenance.prune)
_register(app, "Sweeps", init.init, sweeps.submit, sweeps.list_, sweeps.show, sweeps.watch)
_register(app, "Sweeps", sweeps.pause, sweeps.resume, sweeps.cancel, sweeps.retry, sweeps.delete)
_register(app, "Sweeps", sweeps.edit, sweeps.extend, logs.logs, logs.events, maintenance.repair)
_register(app, "Results", summaries.summary, summaries.best, figures.plot)
_register(app, "Results", figures.report, summaries.compare, trials.trials, export.export)
_register(app, "What can be swept", catalog.catalog, catalog.presets)

_token = typer.Typer(help="Create, list and revoke tokens of the service.", no_args_is_help=True)
_register(_token, None, tokens.create, tokens.list_, tokens.revoke, tokens.waive)
app.add_typer(_token, name="token", rich_help_panel="On this machine")

_trial = typer.Typer(help="Run one trial again, without the service.", no_args_is_help=True)
_register(_trial, None, trials.spec, trials.run, trials.checkpoint)
app.add_typer(_trial, name="trial", rich_help_panel="Without the service")

_optimizers = typer.Typer(
    help="List optimizers, check whether one can be swept.", no_args_is_help=True
)
_register(_optimizers, None, optimizers.list_, optimizers.check)
app.add_typer(_optimizers, name="optimizers", rich_help_panel="What can be swept")

_data = typer.Typer(help="Fetch and check data sets, make corrupted ones.", no_args_is_help=True)
_register(_data, None, data.fetch, data.check, data.corrupt)
app.add_typer(_data, name="data", rich_help_panel="Without the service")


def main() -> None:
    """Run the program ``sasam``."""
    app(prog_name="sasam")
