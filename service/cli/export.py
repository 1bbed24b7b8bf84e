"""The command that hands a sweep to other tools."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.connection import connect, find_sweep
from service.cli.failures import CliError, ExitStatus
from service.cli.options import LATEST, SweepOrLatest, Url, examples
from service.cli.output import echo
from service.first_line import first_line

__all__ = ["export"]


@examples(
    "sasam export --optuna sqlite:///study.db",
    "sasam export 1f0c2a9b77d4 --optuna sqlite:///study.db --by-optimizer",
    "sasam export --optuna sqlite:///study.db && optuna-dashboard sqlite:///study.db",
)
def export(
    sweep: SweepOrLatest = LATEST,
    optuna: Annotated[
        str, typer.Option(metavar="URL", help="Storage of the study: sqlite:///FILE, ...")
    ] = "",
    by_optimizer: Annotated[
        bool, typer.Option("--by-optimizer", help="A study an optimizer, not one for all.")
    ] = False,
    url: Url = None,
) -> None:
    """Write the ended trials of a sweep to an Optuna storage; again adds those ended since."""
    if "://" not in optuna:
        raise CliError(
            f"--optuna needs the URL of a storage, such as sqlite:///study.db (got {optuna!r})",
            ExitStatus.USAGE,
        )
    try:
        from service.cli.optuna_study import export_study
    except ModuleNotFoundError as error:
        raise CliError(f"{error.name} is not installed: pip install 'sasam[workers]'") from error
    with connect(url) as client:
        found = find_sweep(client, sweep)
        trials = list(found.trials())
    from optuna.logging import WARNING, set_verbosity
    from sqlalchemy.exc import SQLAlchemyError

    set_verbosity(WARNING)
    try:
        studies = export_study(optuna, found.detail, trials, by_optimizer=by_optimizer)
    except SQLAlchemyError as error:
        raise CliError(f"{optuna} cannot be written: {first_line(error)}") from error
    for study in studies:
        echo(f"{study.study}: {study.trials} trials, {study.added} new")
