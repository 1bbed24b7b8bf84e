"""Trains and measures one trial; knows no Ray and no MLflow."""

from workers.training.preflight import preflight
from workers.training.run import run_trial
from workers.training.trial import Record, Trial

__all__ = ["Record", "Trial", "preflight", "run_trial"]
