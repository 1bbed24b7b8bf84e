"""Sharpness- and smoothness-aware optimizers."""

from sasam.optimizers.perturbations import (
    ASAM,
    GSAM,
    SAMON,
    FriendlySAM,
    LookSAM,
    Perturbation,
    PlainSAM,
)
from sasam.optimizers.sa_sam import SASAM
from sasam.optimizers.sa_sgd import SASGD
from sasam.optimizers.sam import SAM
from sasam.optimizers.sharpness_aware import SharpnessAware

__all__ = [
    "ASAM",
    "GSAM",
    "SAM",
    "SAMON",
    "SASAM",
    "SASGD",
    "FriendlySAM",
    "LookSAM",
    "Perturbation",
    "PlainSAM",
    "SharpnessAware",
]
