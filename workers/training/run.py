"""Runs a trial from its first or its last saved epoch to its end, a record an epoch."""

from __future__ import annotations

import math
from collections.abc import Generator
from pathlib import Path

from workers.batches import DeviceData
from workers.checkpoints import load_checkpoint, save_checkpoint
from workers.metrics import Outcome
from workers.spec import TrialConfig
from workers.training.trial import Record, Trial

__all__ = ["run_trial"]


def run_trial(
    config: TrialConfig, data: DeviceData, *, checkpoint: Path | None = None
) -> Generator[Record]:
    """Yield a record an epoch; the last one has ``outcome``.

    A resumed trial yields the record it was saved with once more, since the process that saved it
    may have died before anyone read it, and goes on bit for bit as if it had not stopped.

    Args:
        config: The trial.
        data: Its images, on the device that trains.
        checkpoint: The file to go on from and to save to, every ``training.checkpoint_every``
            epochs and at the end; without one nothing is saved.

    Yields:
        Finite metrics by the names of `workers.metrics`, and ``epoch``, from 1. The last record has
        ``outcome``; that of a completed trial also ``ood_matrix``, corruption -> accuracies by
        severity; that of a diverged one ``diverged_epoch``, and no metrics of the end.

    Raises:
        ValueError: The model or the optimizer refuses the configuration, or the checkpoint is
            another trial's.
    """
    saved = load_checkpoint(checkpoint) if checkpoint is not None else None
    record: Record = saved["record"] if saved is not None else {}
    if "outcome" in record:
        yield record
        return
    trial = Trial(config, data)
    if saved is not None:
        trial.load_state_dict(saved["trial"])
        if not trial.is_trained:
            yield record
    while "outcome" not in record:
        if not trial.is_trained:
            record = _train_epoch(trial)
            if trial.is_trained or trial.epoch % config.training.checkpoint_every == 0:
                _save(checkpoint, trial, record)
        if trial.is_trained and "outcome" not in record:
            record = _finite(record | trial.measure_end()) | {"outcome": Outcome.COMPLETED.value}
        if "outcome" in record:
            _save(checkpoint, trial, record)
        yield record


def _train_epoch(trial: Trial) -> Record:
    """Train an epoch; a loss that is not finite ends the trial with it."""
    record = trial.train_epoch()
    if not (math.isfinite(record["train_loss"]) and math.isfinite(record["val_loss"])):
        ending = {"outcome": Outcome.DIVERGED.value, "diverged_epoch": trial.epoch}
        return _finite(record) | ending
    curvature = trial.config.curvature
    every = None if curvature is None or curvature.every == "end" else curvature.every
    if every is not None and trial.epoch % every == 0 and not trial.is_trained:
        record |= trial.measure_curvature()
    return _finite(record)


def _finite(record: Record) -> Record:
    """The record without numbers that are not finite."""
    return {
        name: value
        for name, value in record.items()
        if not isinstance(value, float) or math.isfinite(value)
    }


def _save(checkpoint: Path | None, trial: Trial, record: Record) -> None:
    """Save the trial; of one that has ended the weights alone, for whoever wants the network."""
    if checkpoint is not None:
        state = trial.result_state() if "outcome" in record else trial.state_dict()
        save_checkpoint(checkpoint, {"trial": state, "record": record})
