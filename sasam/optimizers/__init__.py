"""Sharpness- and smoothness-aware optimizers."""

from sasam.optimizers.sa_sam import SASAM
from sasam.optimizers.sa_sgd import SASGD
from sasam.optimizers.sam import SAM

__all__ = ["SAM", "SASAM", "SASGD"]
