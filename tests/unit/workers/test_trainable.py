"""What a trial actor imports."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_trial_actor_does_not_import_mlflow() -> None:
    """It would cost every actor a second and 100 MB, and only the driver talks to MLflow."""
    code = "import sys, workers.trainable; print({'mlflow', 'optuna'} & sys.modules.keys())"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert ended.stdout.split("\n")[-2] == "set()", ended.stdout
