"""Loss and accuracy on the validation images and under every corruption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workers.corruptions import BENCHMARK_CORRUPTIONS
from workers.example_inputs import per_prediction
from workers.trial_data import DeviceData, DeviceImages

__all__ = ["Evaluator", "Scores"]

# Without a graph a batch can be large; on a CPU its maps should stay near the caches.
_BATCH = {"cpu": 256, "accelerator": 2_000}


@dataclass(frozen=True, slots=True)
class Scores:
    """Mean loss and accuracy; accuracy is a fraction."""

    loss: float
    accuracy: float


class Evaluator:
    """Evaluates a network in eval mode with its present weights.

    Args:
        model: The network; its mode is restored.
        predict: Maps normalised images to logits: the network itself, compiled or under autocast.
        normalise: Maps stored examples to what ``predict`` takes.
    """

    def __init__(
        self,
        model: nn.Module,
        predict: Callable[[Tensor], Tensor],
        normalise: Callable[[Tensor], Tensor],
    ) -> None:
        self._model = model
        self._predict = predict
        self._normalise = normalise

    def validation(self, images: DeviceImages) -> Scores:
        """Loss and accuracy on some images."""
        return Scores(*self._examples(images).double().mean(1).tolist())

    def corruptions(self, data: DeviceData) -> tuple[dict[str, float], dict[str, list[float]]]:
        """Metrics on the corrupted test set, and accuracies by corruption and severity.

        Returns:
            ``ood_loss`` and ``ood_accuracy``, means over all corruptions and severities,
            ``ood_accuracy.<corruption>``, means over severities, and ``ood_accuracy.benchmark``
            where the 15 corruptions of the benchmark are all there; the matrix, severities in the
            specification's order.
        """
        if data.host.ood is None:
            raise ValueError("the trial has no corrupted test set; set ood in its specification")
        examples = torch.cat([self._examples(images) for images in data.ood], dim=1).double()
        cells = examples.view(2, len(data.host.ood), -1).mean(2)
        losses, accuracies = cells.tolist()
        matrix: dict[str, list[float]] = {}
        for cell, accuracy in zip(data.host.ood.cells, accuracies, strict=True):
            matrix.setdefault(cell.corruption, []).append(accuracy)
        means = {name: sum(row) / len(row) for name, row in matrix.items()}
        metrics = {
            "ood_loss": sum(losses) / len(losses),
            "ood_accuracy": sum(accuracies) / len(accuracies),
        }
        metrics |= {f"ood_accuracy.{name}": mean for name, mean in means.items()}
        if set(BENCHMARK_CORRUPTIONS) <= means.keys():
            benchmark = [means[name] for name in BENCHMARK_CORRUPTIONS]
            metrics["ood_accuracy.benchmark"] = sum(benchmark) / len(benchmark)
        return metrics, matrix

    def _examples(self, images: DeviceImages) -> Tensor:
        """Loss and correctness of every prediction, shape (2, n); non-finite logits are wrong."""
        was_training = self._model.training
        self._model.eval()
        batch_size = _BATCH["cpu" if images.device.type == "cpu" else "accelerator"]
        results = []
        with torch.inference_mode():
            for batch, labels in images.in_order(self._normalise, batch_size=batch_size):
                logits, labels = per_prediction(self._predict(batch).float(), labels)
                losses = F.cross_entropy(logits, labels, reduction="none")
                is_correct = (logits.argmax(1) == labels) & losses.isfinite()
                results.append(torch.stack([losses, is_correct.float()]))
        self._model.train(was_training)
        return torch.cat(results, dim=1)
