"""Texts of heatmaps: labels and remarks of cells, and notes that explain them."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from service.sensitivity.figures.colour_scale import ColourScale
from service.sensitivity.figures.figure_data import Datum
from service.sensitivity.figures.heatmap_plane import Plane
from service.sensitivity.hyperparameters import configuration_label
from service.sensitivity.number_format import RAISED_MARK, curvature_label
from service.sensitivity.scores import Scores
from service.sensitivity.trial_result import TrialResult
from workers.metrics import Outcome

__all__ = ["cell_label", "mark_notes", "plane_notes", "seed_note", "seed_spread"]


def cell_label(state: str, value: float, has_learned: bool, scale: ColourScale) -> str:
    """The value of a cell as text."""
    if state != "value":
        return "div" if state == "diverged" else "–"
    if scale.shown is not None:
        return scale.shown.text(value)
    return curvature_label(value) + ("" if has_learned else "†")


def seed_spread(
    results: Iterable[TrialResult | None], metric: str, split: str | None, scale: ColourScale
) -> str:
    """Standard error and range over the completed seeds of a configuration; empty below two."""
    measured = [
        getattr(trial, metric)
        for trial in results
        if trial is not None and trial.outcome == Outcome.COMPLETED
    ]
    if split is not None:
        measured = [value.get(split) if isinstance(value, dict) else value for value in measured]
    seeds = np.array([value for value in measured if value is not None], dtype=float)
    if len(seeds) < 2:
        return ""
    show = curvature_label if scale.shown is None else scale.shown.text
    error = float(seeds.std(ddof=1)) / math.sqrt(len(seeds))
    shown = curvature_label(error) if scale.shown is None else scale.shown.points(error)
    return f"standard error {shown}, seeds {show(seeds.min())} to {show(seeds.max())}"


def seed_note(
    state: str,
    n_finished: int,
    n_diverged: int,
    n_seeds: int,
    results: Iterable[TrialResult | None],
) -> str:
    """A remark on the seeds of a cell; empty without one."""
    if state == "value" and n_diverged:
        return f"{n_diverged}/{n_seeds} div"
    if state == "value" and n_finished < n_seeds:
        failed = sum(trial is not None and trial.outcome == Outcome.FAILED for trial in results)
        return f"{failed}/{n_seeds} failed" if failed else f"{n_finished}/{n_seeds} seeds"
    if state != "missing":
        return ""
    ended = [trial for trial in results if trial is not None and trial.outcome is not None]
    pruned = [trial for trial in ended if trial.outcome == Outcome.PRUNED]
    if pruned:
        epochs = [trial.epochs for trial in pruned if trial.epochs is not None]
        reached = "–".join(map(str, sorted({min(epochs), max(epochs)}))) if epochs else ""
        return f"pruned, epoch {reached}" if reached else "pruned"
    return "failed" if any(trial.outcome == Outcome.FAILED for trial in ended) else ""


def plane_notes(scored: Sequence[Scores], plane: Plane, scale: ColourScale) -> list[str]:
    """What became of the hyperparameters that are not shown."""
    notes = []
    if plane.fixed:
        notes.append(f"at {configuration_label(plane.fixed)}")
    shown = [s.trials.axes for s in scored if not plane.absence(s.trials.axes)]
    reduced = dict.fromkeys(name for axes in shown for name in plane.reduced(axes))
    if reduced:
        mean = "median" if scale.is_curvature else "mean"
        how = "at the validation-best" if plane.rest == "best" else f"{mean} over"
        notes.append(f"{how} {', '.join(plane.titles[name] for name in reduced)}")
    return ["; ".join(notes)] if notes else []


def mark_notes(records: Sequence[Datum], scale: ColourScale) -> list[str]:
    """Explanations of the marks that occur in the cells."""
    states = {record["state"] for record in records}
    notes = []
    if "diverged" in states or any(record["n_diverged"] for record in records):
        treatment = "no curvature" if scale.is_curvature else "counts as chance"
        notes.append(f"div: diverged ({treatment})")
    if any(record["raised"] for record in records):
        below = "" if scale.shown is None else scale.shown.below_guess
        notes.append(f"{RAISED_MARK}: with a trial {below}, which counts as chance")
    if "missing" in states:
        notes.append("–: not measured" if scale.is_curvature else "–: not finished")
    if any(record["negative"] for record in records):
        notes.append("red frame: negative")
    if scale.is_curvature and any(
        record["state"] == "value" and not record["learned"] for record in records
    ):
        notes.append("†: hardly learned, flatness means nothing")
    if scale.is_curvature and any(
        isinstance(record["value"], float) and record["value"] > scale.high for record in records
    ):
        notes.append(f"colours end at {curvature_label(scale.high)}")
    shown = scale.shown
    if shown is not None and any(
        isinstance(record["value"], float) and shown.sign * (record["value"] - scale.low) < 0
        for record in records
    ):
        notes.append(f"colours begin at {shown.text(scale.low)}")
    return ["; ".join(notes)] if notes else []
