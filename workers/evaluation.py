"""Loss, accuracy and calibration on the validation images and under every corruption."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from workers.calibration import Scores, mean_scores, score_examples
from workers.corruptions import BENCHMARK_CORRUPTIONS
from workers.example_inputs import per_prediction
from workers.trial_data import DeviceData, DeviceImages

__all__ = ["Evaluator", "Scores"]

# Without a graph a batch can be large; on a CPU its maps should stay near the caches.
_BATCH = {"cpu": 256, "accelerator": 2_000}
_CONTEXT = 64  # tokens of a sequence that takes no more than an image


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
        """Mean scores of some images."""
        return mean_scores(self._examples(images)[:, None])[0]

    def corruptions(self, data: DeviceData) -> tuple[dict[str, float], dict[str, list[float]]]:
        """Metrics on the corrupted test set, and accuracies by corruption and severity.

        Returns:
            ``ood_loss``, ``ood_accuracy``, ``ood_brier`` and ``ood_ece``, means over all
            corruptions and severities, each also by corruption (``ood_accuracy.<corruption>``, mean
            over severities), and ``ood_accuracy.benchmark`` where the 15 corruptions of the
            benchmark are all there; the matrix, severities in the specification's order.
        """
        if data.host.ood is None:
            raise ValueError("the trial has no corrupted test set; set ood in its specification")
        examples = torch.cat([self._examples(images) for images in data.ood], dim=1)
        cells = mean_scores(examples.view(len(examples), len(data.host.ood), -1))
        by_corruption: dict[str, list[Scores]] = {}
        for cell, scores in zip(data.host.ood.cells, cells, strict=True):
            by_corruption.setdefault(cell.corruption, []).append(scores)
        means = {name: _mean(row) for name, row in by_corruption.items()}
        metrics = {f"ood_{key}": value for key, value in _mean(cells)._asdict().items()}
        metrics |= {
            f"ood_{key}.{name}": value
            for name, mean in means.items()
            for key, value in mean._asdict().items()
        }
        if set(BENCHMARK_CORRUPTIONS) <= means.keys():
            benchmark = _mean([means[name] for name in BENCHMARK_CORRUPTIONS])
            metrics["ood_accuracy.benchmark"] = benchmark.accuracy
        matrix = {name: [one.accuracy for one in row] for name, row in by_corruption.items()}
        return metrics, matrix

    def test_sets(self, data: DeviceData) -> dict[str, float]:
        """Metrics of the further test sets, such as ``test_accuracy.<name>``."""
        return {
            f"test_{key}.{name}": value
            for name, images in data.test_sets.items()
            for key, value in self.validation(images)._asdict().items()
        }

    def _examples(self, images: DeviceImages) -> Tensor:
        """Scores of every prediction, shape (4, n), as `score_examples` returns them."""
        was_training = self._model.training
        self._model.eval()
        batch_size = _batch_size(images)
        results = []
        with torch.inference_mode():
            for batch, labels in images.in_order(self._normalise, batch_size=batch_size):
                logits, labels = per_prediction(self._predict(batch).float(), labels)
                results.append(score_examples(logits, labels))
        self._model.train(was_training)
        return torch.cat(results, dim=1)


def _batch_size(images: DeviceImages) -> int:
    """Examples of a batch: the fewer, the longer sequences are, as attention is quadratic."""
    largest = _BATCH["cpu" if images.device.type == "cpu" else "accelerator"]
    context = images.labels[0].numel()  # 1 for images
    return largest if context <= _CONTEXT else max(1, largest * _CONTEXT**2 // context**2)


def _mean(scores: Sequence[Scores]) -> Scores:
    """The mean of each score."""
    return Scores(*(sum(column) / len(scores) for column in zip(*scores, strict=True)))
