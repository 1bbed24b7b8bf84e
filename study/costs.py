"""Cost of the paper's experiment, the presets ``paper-vgg19`` and ``paper-vit-small``."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from service.client import Client
from study.records import CostRecord
from workers.models import build_model
from workers.spec import SweepSpec, load_spec

__all__ = ["record_costs"]

_PRESETS = {"paper-vgg19": "VGG-19", "paper-vit-small": "ViT-Small"}
_TEST_IMAGES = 10_000
_CLASSES, _CHANNELS, _SIDE = 10, 3, 32
_COUNTED = 8  # images of the pass whose operations are counted


def record_costs(client: Client) -> Iterator[CostRecord]:
    """What the dry run of each preset says, and the operations of its network."""
    for preset, title in _PRESETS.items():
        text = client.preset(preset).text
        estimate, specification = client.sweeps.estimate(text), load_spec(text)
        ood = specification.ood
        cells = len(ood.names) * len(ood.severities) if ood else 0
        epochs = specification.training.epochs
        measured = estimate.curvature
        yield CostRecord(
            preset=preset,
            title=title,
            trials=estimate.trials,
            gradient_evaluations=estimate.gradient_evaluations or 0,
            batch_size=specification.training.batch_size,
            training_flops_per_image=_flops_per_image(specification),
            evaluation_images=estimate.trials * _TEST_IMAGES * (epochs + cells),
            curvature_gradient_evaluations=estimate.trials
            * sum(one.measurements * one.gradient_evaluations for one in measured),
            curvature_images=max((one.images for one in measured), default=0),
        )


def _flops_per_image(specification: SweepSpec) -> float:
    """Operations of a forward and a backward pass, a multiply-add as two."""
    model = build_model(
        specification.model, num_classes=_CLASSES, in_channels=_CHANNELS, image_size=_SIDE
    )
    images = torch.randn(_COUNTED, _CHANNELS, _SIDE, _SIDE)
    labels = torch.zeros(_COUNTED, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward(functional.cross_entropy(model(images), labels))
    return float(f"{counter.get_total_flops() / _COUNTED:.4g}")
