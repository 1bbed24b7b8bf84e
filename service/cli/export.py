"""The command ``export``: writes a sweep as an Optuna study."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.connection import LATEST, connect, find_sweep
from service.cli.errors import CliError, ExitStatus
from service.cli.options import SweepOrLatest, Url, examples
from service.cli.output import echo
from service.cli.wording import count_of
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
        bool, typer.Option("--by-optimizer", help="One study per optimizer instead of one for all.")
    ] = False,
    url: Url = None,
) -> None:
    """Write the ended trials of a sweep to an Optuna storage; a repetition adds the new ones."""
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
        echo(f"{study.name}: {count_of(study.trials, 'trial')}, {study.added} new")
