"""Result of one trial: its configuration, outcome, measurements and learning curve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from workers.metrics import Outcome
from workers.scores import Score
from workers.spec.configuration import Value

__all__ = ["History", "TrialResult"]


@dataclass(frozen=True, slots=True)
class History:
    """Learning curve of one trial; equally long sequences, one entry per epoch.

    Attributes:
        epoch: Epochs finished, rising.
        gradient_evaluations: Gradient evaluations spent so far, rising.
        val_accuracy: Validation accuracy in [0, 1]; None where it is not finite.
        train_loss: Training loss; None where it is not finite.
        val_loss: Validation loss; None where it is not finite. Empty where not recorded.
    """

    epoch: Sequence[int]
    gradient_evaluations: Sequence[float]
    val_accuracy: Sequence[float | None]
    train_loss: Sequence[float | None] = ()
    val_loss: Sequence[float | None] = ()

    @property
    def spent(self) -> float:
        """Gradient evaluations up to the last epoch."""
        return float(self.gradient_evaluations[-1]) if len(self.gradient_evaluations) else 0.0

    def within(self, gradient_evaluations: float) -> "History":
        """The epochs finished within a budget."""
        n = int(np.searchsorted(self.gradient_evaluations, gradient_evaluations, side="right"))
        return History(
            self.epoch[:n],
            self.gradient_evaluations[:n],
            self.val_accuracy[:n],
            self.train_loss[:n],
            self.val_loss[:n],
        )

    def validation(self, score: Score) -> Sequence[float | None]:
        """The validation score by epoch."""
        return self.val_accuracy if score.name == "accuracy" else self.val_loss


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial: its configuration and seed, its outcome and measurements (accuracies in [0, 1]).

    Attributes:
        key: Identifies the trial within the sweep.
        optimizer: Label, unique within the sweep ("sa-sam", "SAM rho=0.1").
        optimizer_name: Name in the catalog ("sa-sam").
        hyperparameters: Value of each axis of the search by its name, such as ``learning_rate``
            (the initial step size, eta_0, for SA-SGD and SA-SAM) or ``optimizer.momentum``.
        seed: Seed of the trial.
        outcome: How it ended; None while it has not ended.
        val_accuracy: Validation accuracy of the last epoch.
        ood_accuracy: Mean accuracy over the corrupted sets.
        val_loss: Validation loss of the last epoch.
        ood_loss: Mean loss over the corrupted sets.
        brier: Brier score by split ("validation", "ood"); that of OOD is the mean over the
            corrupted sets.
        ece: Expected calibration error by split, likewise.
        hessian_trace: Tr(H) by split ("validation", "ood").
        hessian_trace_stderr: Standard error of the estimated trace by split.
        hessian_lambda_max: Largest eigenvalue by split.
        gradient_evaluations: Gradient evaluations spent.
        ood_by_corruption: Accuracy by corruption, mean over severities.
        test_accuracy: Accuracy by further test set.
        test_loss: Loss likewise.
        ood_by_severity: Accuracy by corruption and severity, where loaded.
        history: Learning curve, where loaded.
        optimizer_title: Display name of the optimizer in figures, tables and sentences ("SA-SAM");
            its label where absent.
        epochs: Epochs finished; None if unknown.
    """

    key: str
    optimizer: str
    optimizer_name: str
    hyperparameters: Mapping[str, Value]
    seed: int
    outcome: Outcome | None = None
    val_accuracy: float | None = None
    ood_accuracy: float | None = None
    val_loss: float | None = None
    ood_loss: float | None = None
    brier: Mapping[str, float | None] = field(default_factory=dict)
    ece: Mapping[str, float | None] = field(default_factory=dict)
    hessian_trace: Mapping[str, float | None] = field(default_factory=dict)
    hessian_trace_stderr: Mapping[str, float | None] = field(default_factory=dict)
    hessian_lambda_max: Mapping[str, float | None] = field(default_factory=dict)
    gradient_evaluations: float | None = None
    ood_by_corruption: Mapping[str, float] = field(default_factory=dict)
    test_accuracy: Mapping[str, float] = field(default_factory=dict)
    test_loss: Mapping[str, float] = field(default_factory=dict)
    ood_by_severity: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    history: History | None = None
    optimizer_title: str | None = None
    epochs: int | None = None

    def validation(self, score: Score) -> float | None:
        """The validation score."""
        return self.val_accuracy if score.name == "accuracy" else self.val_loss

    def ood(self, score: Score) -> float | None:
        """The score on OOD data."""
        return self.ood_accuracy if score.name == "accuracy" else self.ood_loss

    def test(self, score: Score) -> Mapping[str, float]:
        """The score by further test set."""
        return self.test_accuracy if score.name == "accuracy" else self.test_loss
