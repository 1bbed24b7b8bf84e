"""Names and severities of the image corruptions; imports no other module.

Order and names are those of CIFAR-10-C (Hendrycks & Dietterich 2019, arXiv 1903.12261): the
fifteen of the benchmark, then the four that the authors set aside for validation.
"""

from __future__ import annotations

__all__ = ["BENCHMARK_CORRUPTIONS", "CORRUPTIONS", "SEVERITIES"]

BENCHMARK_CORRUPTIONS: tuple[str, ...] = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)

CORRUPTIONS: tuple[str, ...] = (
    *BENCHMARK_CORRUPTIONS,
    "speckle_noise",
    "gaussian_blur",
    "spatter",
    "saturate",
)

SEVERITIES: tuple[int, ...] = (1, 2, 3, 4, 5)
