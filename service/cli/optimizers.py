"""Commands on optimizers, which need no service: list them, check one."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from service.cli.errors import CliError, ExitStatus
from service.cli.options import Output, examples
from service.cli.output import OutputFormat, write

__all__ = ["check", "list_"]

# Runs in a process of its own: the command line does not import torch.
_PROGRAM = "workers.training.check_optimizer"


@examples("sasam optimizers list", "sasam optimizers list --output yaml")
def list_(output: Output = OutputFormat.TABLE) -> None:
    """List the built-in optimizers and families with cost, weight decay and defaults."""
    from service.cli.console import console
    from service.cli.tables import optimizers_table
    from workers.catalog import optimizers

    entries = optimizers.entries().values()
    if output is OutputFormat.TABLE:
        console(is_wide=True).print(optimizers_table(entries))
        return
    write(
        [
            {"name": entry.name, "title": entry.title, "summary": entry.summary, **entry.facts}
            for entry in entries
        ],
        output,
    )


@examples(
    "sasam optimizers check torch:RMSprop",
    """sasam optimizers check timm:lion --options '{"kwargs": {"betas": [0.9, 0.95]}}'""",
)
def check(
    name: Annotated[str, typer.Argument(help="Name of an optimizer, as in a specification.")],
    options: Annotated[
        str, typer.Option(help="Its options in a specification, as JSON.", show_default="none")
    ] = "{}",
    model: Annotated[str, typer.Option(help="Network to check it on.")] = "cnn-tiny",
) -> None:
    """Check that an optimizer trains and resumes bit for bit, in two steps on digits."""
    if find_spec("torch") is None:
        raise CliError("nothing trains here; install the workers: pip install 'sasam[workers]'")
    try:
        is_mapping = isinstance(json.loads(options), dict)
    except ValueError:
        is_mapping = False
    if not is_mapping:
        raise CliError(
            f"--options must be a JSON object such as '{{\"rho\": 0.1}}', got {options[:80]!r}",
            ExitStatus.USAGE,
        )
    program = [sys.executable, "-m", _PROGRAM, "--options", options, "--model", model, "--", name]
    ended = subprocess.run(program, check=False)  # noqa: S603 - own program
    raise typer.Exit(ended.returncode)
