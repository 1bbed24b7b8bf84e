"""Runs a trial from its first or its last saved epoch to its end, a record an epoch."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator

from workers.batches import DeviceData
from workers.checkpoints import load_checkpoint, save_checkpoint
from workers.metrics import Outcome
from workers.spec import TrialConfig
from workers.storage import Stored
from workers.training.trial import Record, Trial

__all__ = ["run_trial"]


def run_trial(
    config: TrialConfig,
    data: DeviceData,
    *,
    checkpoint: Stored | None = None,
    recorded: int = 0,
) -> Generator[Record]:
    """Yield a record an epoch; the last one has ``outcome``.

    A resumed trial yields first what it measured before and nobody has recorded: whoever read it
    may have died with it. Then it goes on bit for bit as if it had not stopped.

    Args:
        config: The trial.
        data: Its images, on the device that trains.
        checkpoint: The file to go on from and to save to, every ``training.checkpoint_every``
            epochs and at the end; without one nothing is saved.
        recorded: Epochs whose records need not be yielded again, but for the last one of a trial
            that has ended.

    Yields:
        Finite metrics by the names of `workers.metrics`, and ``epoch``, from 1. The last record has
        ``outcome``; that of a completed trial also ``ood_matrix``, corruption -> accuracies by
        severity; that of a diverged one ``diverged_epoch``, and no metrics of the end.

    Raises:
        ValueError: The model or the optimizer refuses the configuration, or the checkpoint is
            another trial's.
        OSError: The storage does not give or take the checkpoint.
    """
    saved = load_checkpoint(checkpoint) if checkpoint is not None else None
    records: list[Record] = saved["records"] if saved is not None else []
    if records and "outcome" in records[-1]:
        yield from _unrecorded(records, recorded)
        return
    trial = Trial(config, data)
    if saved is not None:
        trial.load_state_dict(saved["trial"])
    yield from _unrecorded(records[:-1] if trial.is_trained else records, recorded)
    has_ended = False
    while not has_ended:
        if not trial.is_trained:
            records.append(_train_epoch(trial))
            if trial.is_trained or trial.epoch % config.training.checkpoint_every == 0:
                _save(checkpoint, trial, records)
        if trial.is_trained and "outcome" not in records[-1]:
            end = {"outcome": Outcome.COMPLETED.value}
            records[-1] = _finite(records[-1] | trial.measure_end()) | end
        has_ended = "outcome" in records[-1]
        if has_ended:
            _save(checkpoint, trial, records)
        yield records[-1].copy()


def _unrecorded(records: Iterable[Record], recorded: int) -> Iterator[Record]:
    """The records that are still to be yielded; the end of a trial always is."""
    for record in records:
        if record["epoch"] > recorded or "outcome" in record:
            yield record.copy()


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


def _save(checkpoint: Stored | None, trial: Trial, records: list[Record]) -> None:
    """Save the trial; of one that has ended the weights alone, for whoever wants the network."""
    if checkpoint is not None:
        state = trial.result_state() if "outcome" in records[-1] else trial.state_dict()
        save_checkpoint(checkpoint, {"trial": state, "records": records})
