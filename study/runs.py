"""Run the study on a service of its own: submit each part, wait, record the results.

The service is the embedded one, in a home of its own, so that nothing mixes with a user's sweeps.
An interrupted study continues: the same specification is submitted with the same key, which returns
the sweep that is there, and finished trials are not run again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from service.cli.progress import follow
from service.client import Client, ProblemError, Sweep
from service.embedded import EmbeddedStack, StackEvent
from service.settings import Settings
from study.costs import record_costs
from study.parts import FIGURES, IMAGES_VARIABLE, RECORDS, Part
from study.recording import export_figures, record_part
from study.records import record_path, write_record

__all__ = ["StudyError", "run_study", "study_settings"]

_HOME_VARIABLE = "SASAM_STUDY_HOME"
_IMAGES_FILE = "study-images.npz"


class StudyError(Exception):
    """The study cannot continue; the message names the reason and a remedy."""


def study_settings() -> Settings:
    """Settings of the service, with ``SASAM_STUDY_HOME``, or ``study`` in the home, as its home."""
    own = os.environ.get(_HOME_VARIABLE)
    return Settings(home=Path(own).absolute() if own else Settings().home / "study")


def run_study(
    parts: Sequence[Part],
    on: Console,
    *,
    conditions: str,
    force: bool = False,
    wait: bool = True,
    records: Path = RECORDS,
    figures: Path = FIGURES,
) -> None:
    """Run parts one after another and write their records.

    Args:
        parts: Which.
        on: Where progress is shown.
        conditions: What else the machine did, for the report.
        force: Continue sweeps whose code has changed since their first trials.
        wait: Whether to wait for sweeps to end; otherwise what has finished is recorded.
        records: Folder of the records.
        figures: Folder of the figures.

    Raises:
        StudyError: A sweep failed, or needs ``force``.
    """
    with _service(on) as client:
        for part in _runnable(parts, on):
            sweep = _submit(client, part)
            if wait:
                _show_estimate(client, part, on)
                _finish(sweep, on, force=force)
            try:
                record = record_part(client, sweep, part, conditions)
            except ProblemError as problem:
                raise StudyError(f"{part.name} has no results yet: {problem}") from problem
            write_record(record, record_path(records, part.name))
            export_figures(sweep, part, figures)
            on.print(f"{part.name}: {record.finished_trials} trials recorded", markup=False)
        for cost in record_costs(client):
            write_record(cost, records / f"cost-{cost.preset}.json")


def _runnable(parts: Sequence[Part], on: Console) -> Iterator[Part]:
    """The parts whose data are there; the images are copied into the data folder."""
    given = os.environ.get(IMAGES_VARIABLE)
    for part in parts:
        if part.needs_images:
            if not given:
                on.print(f"{part.name}: left out, {IMAGES_VARIABLE} is not set", markup=False)
                continue
            _copy_images(Path(given))
        yield part


def _copy_images(source: Path) -> None:
    """Copy the file of images into the data folder of the study's service.

    Raises:
        StudyError: It cannot be read.
    """
    target = study_settings().resolved_data_dir / _IMAGES_FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)
    except OSError as error:
        raise StudyError(
            f"{IMAGES_VARIABLE} must name an .npz file that can be read, got {source}: "
            f"{error.strerror}"
        ) from error


@contextmanager
def _service(on: Console) -> Iterator[Client]:
    """A client of the study's service, which runs during the block."""
    stack = EmbeddedStack(study_settings())
    with stack.running(_events(on)), Client(stack.addresses.service) as client:
        on.print(f"study's service {stack.addresses.service}", markup=False)
        yield client


def _submit(client: Client, part: Part) -> Sweep:
    """The sweep of a part, submitted now or earlier."""
    digest = hashlib.sha256(part.specification.read_bytes()).hexdigest()
    return client.sweeps.submit(part.specification, idempotency_key=f"study-{digest}")


def _show_estimate(client: Client, part: Part, on: Console) -> None:
    """Print what the dry run of a part says."""
    estimate = client.sweeps.estimate(part.specification)
    seconds = estimate.device_seconds
    time = "no past trials to estimate the time from" if seconds is None else f"{seconds:,.0f} s"
    on.print(
        f"{part.name}: {estimate.trials} trials, {estimate.gradient_evaluations or 0:,} gradient "
        f"evaluations, trials one after another take {time}",
        markup=False,
    )


def _finish(sweep: Sweep, on: Console, *, force: bool) -> None:
    """Wait until a sweep has ended.

    Raises:
        StudyError: It failed, is paused, or needs ``force``.
    """
    if sweep.detail.needs_force and force:
        sweep.resume(force=True)
    detail = follow(sweep, on, exit_on_pause=True)
    if detail.needs_force:
        raise StudyError(
            f"{detail.name}: {detail.reason}; `make study FORCE=1` continues with the new code"
        )
    if detail.state != "completed":
        raise StudyError(f"{detail.name} is {detail.state}: {detail.reason or 'see its logs'}")


def _events(on: Console) -> Callable[[StackEvent], None]:
    """Return a function that prints an event of the stack."""

    def show(event: StackEvent) -> None:
        with suppress(OSError):  # the terminal may be closed
            on.print(f"{event.child}: {event.message}", style="dim", markup=False)

    return show
