"""Training and measurement of one trial, independent of Ray and MLflow."""

from workers.training.facts import PreflightFacts
from workers.training.preflight import preflight
from workers.training.run import run_trial
from workers.training.trial import EpochRecord, Trial

__all__ = ["EpochRecord", "PreflightFacts", "Trial", "preflight", "run_trial"]
