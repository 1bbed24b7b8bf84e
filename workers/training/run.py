"""Runs a trial from its first or last saved epoch to its end; one record per epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Generator

from workers.checkpoints import load_checkpoint, save_checkpoint
from workers.durable_storage import Stored
from workers.metrics import Outcome
from workers.numerics import MIXED_NUMERICS, describe_numerics
from workers.spec import TrialConfig
from workers.training.trial import EpochRecord, Trial
from workers.trial_data import DeviceData

__all__ = ["run_trial"]

_SAVE_SECONDS = 5.0
"""Training that is rather repeated after a crash than saved: a checkpoint may take as long."""


def run_trial(
    config: TrialConfig,
    data: DeviceData,
    *,
    checkpoint: Stored | None = None,
    recorded: int = 0,
    save_seconds: float = _SAVE_SECONDS,
) -> Generator[EpochRecord]:
    """Yield one record per epoch; the last one has ``outcome``.

    A resumed trial first yields the saved records that are not recorded yet, and always the last
    one, because its reader may have died before acting on it. Then it continues bit for bit like a
    trial that was not interrupted.

    Args:
        config: The trial.
        data: Its images, on the device that trains.
        checkpoint: File to resume from and to save to, at most every
            ``training.checkpoint_every`` epochs, and at the end; None saves nothing.
        recorded: Number of recorded epochs.
        save_seconds: Shortest interval between two checkpoints, in seconds; the one at the end is
            always saved.

    Yields:
        Finite metrics by the names of `workers.metrics`, and ``epoch``, from 1. The last record has
        ``outcome`` and ``numerics`` (see `workers.numerics`); that of a completed trial also
        ``ood_matrix``, corruption -> accuracies by severity; that of a diverged one
        ``diverged_epoch``, no metrics of the end, and no accuracy where the loss is not finite.

    Raises:
        ValueError: The model or the optimizer refuses the configuration, or the checkpoint is
            another trial's.
        OSError: The checkpoint cannot be read or written.
    """
    saved = load_checkpoint(checkpoint) if checkpoint is not None else None
    records: list[EpochRecord] = saved["records"] if saved is not None else []
    again = records[max(0, min(recorded, len(records) - 1)) :]
    if again and "outcome" in again[-1]:
        yield from again
        return
    numerics = describe_numerics(data.device, data.host.fingerprint)
    if recorded > len(records) or (saved is not None and saved.get("numerics") != numerics):
        numerics = MIXED_NUMERICS
    trial = Trial(config, data)
    if saved is not None:
        trial.load_state_dict(saved["trial"])
    for record in again[:-1] if trial.is_trained else again:
        yield record.copy()
    saved_at = time.monotonic()
    while not records or "outcome" not in records[-1]:
        if not trial.is_trained:
            records.append(_train_epoch(trial))
            is_due = trial.is_trained or trial.epoch % config.training.checkpoint_every == 0
            if is_due and time.monotonic() - saved_at >= save_seconds:
                _save(checkpoint, trial, records, numerics)
                saved_at = time.monotonic()
        if trial.is_trained and "outcome" not in records[-1]:
            end = {"outcome": Outcome.COMPLETED.value}
            records[-1] = _finite(records[-1] | trial.measure_end()) | end
        if "outcome" in records[-1]:
            records[-1]["numerics"] = numerics
            _save(checkpoint, trial, records, numerics)
        yield records[-1].copy()


def _train_epoch(trial: Trial) -> EpochRecord:
    """Train an epoch; a non-finite loss ends the trial as diverged."""
    record = trial.train_epoch()
    undefined = [part for part in ("train", "val") if not math.isfinite(record[f"{part}_loss"])]
    if undefined:
        for part in undefined:  # the largest of logits that are not numbers is no prediction
            del record[f"{part}_accuracy"]
        ending = {"outcome": Outcome.DIVERGED.value, "diverged_epoch": trial.epoch}
        return _finite(record) | ending
    curvature = trial.config.curvature
    every = None if curvature is None or curvature.every == "end" else curvature.every
    if every is not None and trial.epoch % every == 0 and not trial.is_trained:
        record |= trial.measure_curvature()
    return _finite(record)


def _finite(record: EpochRecord) -> EpochRecord:
    """The record without non-finite numbers."""
    return {
        name: value
        for name, value in record.items()
        if not isinstance(value, float) or math.isfinite(value)
    }


def _save(
    checkpoint: Stored | None, trial: Trial, records: list[EpochRecord], numerics: str
) -> None:
    """Save the trial; after its end only the weights, for later use of the network."""
    if checkpoint is not None:
        state = trial.result_state() if "outcome" in records[-1] else trial.state_dict()
        save_checkpoint(checkpoint, {"trial": state, "records": records, "numerics": numerics})
