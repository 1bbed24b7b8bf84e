"""Trains and measures one trial; knows no Ray and no MLflow."""

from workers.training.preflight import preflight
from workers.training.run import run_trial
from workers.training.trial import EpochRecord, Trial

__all__ = ["EpochRecord", "Trial", "preflight", "run_trial"]
