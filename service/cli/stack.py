"""Commands that run service, Ray and MLflow on this machine (up, demo), or the service (serve)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.completion import preset_names
from service.cli.errors import CliError, ExitStatus, exit_status
from service.cli.options import examples

if TYPE_CHECKING:
    from rich.console import Console

    from service.client import Sweep
    from service.embedded import Addresses, EmbeddedStack, StackEvent
    from service.settings import Settings

__all__ = ["demo", "serve", "up"]

Host = Annotated[
    str | None,
    typer.Option(help="Address to listen on [SASAM_HOST].", show_default="127.0.0.1"),
]
Port = Annotated[
    int | None,
    typer.Option(
        min=1, max=65535, help="Port to listen on [SASAM_PORT].", show_default="a free one"
    ),
]


@examples("sasam up", "SASAM_HOME=/data/sasam sasam up --port 8420")
def up(host: Host = None, port: Port = None) -> None:
    """Run the service, Ray and MLflow on this machine until Ctrl-C."""
    from service.cli.console import console

    stack = _stack(host, port)
    with stack.running(_events(console(stderr=True))):
        _print_addresses(stack.addresses, console())
        stack.wait()


@examples("sasam demo", "sasam demo --exit")
def demo(
    leave: Annotated[
        bool,
        typer.Option(
            "--exit", help="Exit when the sweep has ended instead of serving until Ctrl-C."
        ),
    ] = False,
    preset: Annotated[
        str, typer.Option(help="Preset to run.", autocompletion=preset_names)
    ] = "digits",
    host: Host = None,
    port: Port = None,
) -> None:
    """Run a small sweep on this machine, show its results, then serve until Ctrl-C."""
    from service.cli.console import console
    from service.client import Client

    on = console()
    stack = _stack(host, port)
    with stack.running(_events(console(stderr=True))):
        _print_addresses(stack.addresses, on)
        with Client(stack.addresses.service) as client:
            sweep = client.sweeps.submit(client.preset(preset).text)
            status = _run(sweep, on)
        if not leave:
            on.print(f"Browse the sweep at {stack.addresses.service}{sweep.detail.links.page}")
            _print_addresses(stack.addresses, on)
            stack.wait()
    raise typer.Exit(status)


@examples(
    "sasam serve",
    "SASAM_ADMIN_TOKEN_FILE=/run/secrets/admin sasam serve --host 0.0.0.0 --port 8420",
)
def serve(host: Host = None, port: Port = None) -> None:
    """Run the service alone; its settings name Ray, MLflow and the database."""
    settings = _settings(host, port)
    _require_protection(settings)

    from service.server import run

    run(settings)


def _run(sweep: Sweep, on: Console) -> ExitStatus:
    """Show the progress of a sweep, then its results; an interruption cancels the sweep.

    Raises:
        CliError: The sweep failed.
    """
    from service.cli.figures import print_heatmap
    from service.cli.progress import follow
    from service.cli.summaries import print_summary
    from service.client import ClientError

    try:
        detail = follow(sweep, on)
        if exit_status(detail) is ExitStatus.FAILED:
            reason = detail.reason or "see the logs"
            raise CliError(f"sweep {sweep.sweep_id} {detail.state}: {reason}")
        print_summary(sweep, on)
        on.print()
        print_heatmap(sweep, on)
    except (KeyboardInterrupt, SystemExit):
        with suppress(ClientError):
            sweep.cancel()  # otherwise the next `sasam up` would resume it
            on.print(f"interrupted; sweep {sweep.sweep_id} is cancelled", soft_wrap=True)
        raise
    return exit_status(detail)


def _stack(host: str | None, port: int | None) -> EmbeddedStack:
    from service.embedded import EmbeddedStack

    settings = _settings(host, port)
    _require_protection(settings)
    return EmbeddedStack(settings)


def _settings(host: str | None, port: int | None) -> Settings:
    from service.settings import Settings

    given: dict[str, Any] = {"host": host, "port": port}
    return Settings(**{name: value for name, value in given.items() if value is not None})


def _require_protection(settings: Settings) -> None:
    """Check that the service may start.

    Raises:
        CliError: The service needs tokens and has none, or a secret cannot be read.
        SchemaError: The database was written by a newer version.
        HomeError: The home belongs to another user.
    """
    from service.security.errors import SecurityError
    from service.server import require_startable

    try:
        require_startable(settings)
    except SecurityError as error:
        raise CliError(str(error), ExitStatus.USAGE) from error


def _events(on: Console) -> Callable[[StackEvent], None]:
    """Return a function that prints an event of the stack."""

    def show(event: StackEvent) -> None:
        style = {"died": "bold red", "notice": "yellow"}.get(event.kind, "dim")
        with suppress(OSError):  # the terminal may be closed
            on.print(f"{event.child}: {event.message}", style=style, markup=False)

    return show


def _print_addresses(addresses: Addresses, on: Console) -> None:
    on.print(f"service  {addresses.service}  (API: {addresses.service}/docs)", markup=False)
    on.print(f"MLflow   {addresses.mlflow}", markup=False)
    on.print(f"Ray      {addresses.ray}", markup=False)
    on.print("Ctrl-C ends all three.", style="dim")
