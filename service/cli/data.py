"""Commands on data sets, which need no service: fetch, check, corrupt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from service.cli.errors import CliError, ExitStatus
from service.cli.options import examples
from service.cli.output import echo

__all__ = ["check", "corrupt", "fetch"]

Folder = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Folder of the data sets [SASAM_DATA_DIR].", show_default="~/.sasam/data"
    ),
]
Name = Annotated[str, typer.Argument(help="Name of a data set, as in a specification.")]
Options = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Option of the data set (dataset.kwargs); repeatable."),
]


@examples("sasam data fetch cifar10", "sasam data fetch cifar10-c --data-dir /data")
def fetch(
    name: Annotated[str, typer.Argument(help="cifar10, cifar100, cifar10-c or cifar100-c.")],
    data_dir: Folder = None,
) -> None:
    """Download a published data set; an interrupted download resumes where it stopped."""
    from workers.datasets import fetch as fetch_dataset

    with _data_folder(data_dir) as parent, _progress(f"fetching {name}", "bytes") as report:
        folder = fetch_dataset(name, parent, report)
    echo(folder)


@examples("sasam data check image-folder --option path=flowers --option image_size=64")
def check(dataset: Name, option: Options = None, data_dir: Folder = None) -> None:
    """Read a data set; print its size, the files left out, and doubts about its contents."""
    from workers.datasets import load_dataset

    with _data_folder(data_dir) as folder:
        found = load_dataset(dataset, options=_options(option or ()), data_dir=folder)
    echo(f"{len(found.train):,} training and {len(found.test):,} test {found.examples}")
    for note in found.notes:
        echo(note)


@examples(
    "sasam data corrupt digits",
    "sasam data corrupt cifar10 --corruption fog --corruption frost",
    "sasam data corrupt image-folder --option path=flowers --option image_size=64",
)
def corrupt(
    dataset: Name,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the files.", show_default="<data folder>/<dataset>-c"),
    ] = None,
    corruption: Annotated[
        list[str] | None, typer.Option(help="Only this corruption; repeatable.", show_default="all")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Fixes the random draws.")] = 0,
    option: Options = None,
    data_dir: Folder = None,
) -> None:
    """Make corrupted test images in the layout of CIFAR-10-C, at severities 1 to 5."""
    from workers.corruptions import CORRUPTIONS
    from workers.datasets import corrupt_dataset, load_dataset

    with _data_folder(data_dir, output) as folder:
        source = load_dataset(dataset, options=_options(option or ()), data_dir=folder)
        for note in source.notes:
            echo(f"sasam: warning: {note}", err=True)
        output = output or folder / f"{dataset.replace('/', '-')}-c"
        with _progress(f"corrupting {dataset}", "images") as report:
            corrupt_dataset(
                source, output, corruptions=corruption or CORRUPTIONS, seed=seed, progress=report
            )
    echo(output)


@contextmanager
def _data_folder(given: Path | None, output: Path | None = None) -> Iterator[Path]:
    """The folder of the data sets; files written to it and ``output`` are private in the home."""
    from service.embedded.privacy import private_files
    from service.settings import Settings

    settings = Settings()
    folder = given or settings.resolved_data_dir
    with private_files(settings.home, folder, output or folder):
        yield folder


def _options(pairs: list[str] | tuple[()]) -> dict[str, object]:
    """Parse options of a data set, whose values are YAML."""
    import yaml

    options: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise CliError(f"--option {pair!r} is not KEY=VALUE", ExitStatus.USAGE)
        options[key] = yaml.safe_load(value)
    return options


@contextmanager
def _progress(label: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar if standard error is a terminal; yields a function that updates it."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from service.cli.console import console

    on = console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed:,.0f}}/{{task.total:,.0f}} {unit}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=on, disable=not on.is_terminal) as progress:
        task = progress.add_task(label, total=1)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield report
