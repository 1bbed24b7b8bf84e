from __future__ import annotations

import pytest

from workers.training.schedule import learning_rate_factor


@pytest.mark.parametrize(
    ("schedule", "warmup_epochs", "values"),
    [
        ("constant", 0, {0: 1, 5: 1, 10: 1}),
        ("constant", 2, {0: 0, 1: 0.5, 2: 1, 10: 1}),
        ("cosine", 0, {0: 1, 5: 0.5, 10: 0}),
        ("cosine", 2, {1: 0.5, 2: 1, 6: 0.5, 10: 0}),
        ("step", 0, {0: 1, 4.99: 1, 5: 0.1, 7.49: 0.1, 7.5: 0.01, 10: 0.01}),
    ],
)
def test_learning_rate_factor_follows_the_schedule(schedule, warmup_epochs, values):
    for progress, expected in values.items():
        factor = learning_rate_factor(schedule, progress, epochs=10, warmup_epochs=warmup_epochs)
        assert factor == pytest.approx(expected, abs=1e-12)
