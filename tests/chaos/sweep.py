"""The sweep that is disturbed, and what the service says of it."""

from __future__ import annotations

import time

from stack import Stack
from verdict import Metrics, final_metrics, judge

from service.client import Client, ClientError, Sweep

SPECIFICATION = """
name: chaos
dataset: digits
ood: {corruptions: [gaussian_noise, fog], severities: [1, 5], images: 100}
model: cnn-tiny
optimizers: [sa-sam, sa-sgd, msgd]
search: {learning_rate: [1e-2, 1e-1], weight_decay: [0, 1e-4]}
seeds: [0, 1]
training: {epochs: EPOCHS, batch_size: 64, augmentation: crop}
curvature: {images: 100, trace_tolerance: 0.2}
limits: {trial_retries: 8}
"""
TRIALS = 24
ENDED = {"completed", "failed", "cancelled"}
SWEEP_SECONDS = 600


def submit(stack: Stack, epochs: int) -> str:
    """Submit a sweep; the client asks again with the same key if the answer is lost."""
    with Client(stack.url("service")) as client:
        return client.sweeps.submit(SPECIFICATION.replace("EPOCHS", str(epochs))).sweep_id


def look(stack: Stack, sweep_id: str) -> Sweep | None:
    """The sweep, if the service answers."""
    try:
        with Client(stack.url("service"), timeout_seconds=5, retry_seconds=0) as client:
            return client.sweeps.get(sweep_id)
    except ClientError:
        return None


def ended_trials(stack: Stack, sweep_id: str) -> int:
    """How many trials the service knows to have ended; waits until it answers."""
    while (sweep := look(stack, sweep_id)) is None:
        time.sleep(0.2)
    return sweep.progress.ended


def calm(stack: Stack, epochs: int) -> tuple[Metrics, float]:
    """Run the sweep undisturbed; returns its final metrics and how long it took."""
    started = time.monotonic()
    sweep_id = submit(stack, epochs)
    wait(stack, sweep_id)
    seconds = time.monotonic() - started
    metrics = final_metrics(stack.url("mlflow"), sweep_id)
    verdict = judge(stack.url("service"), stack.url("mlflow"), sweep_id, metrics)
    if not verdict.holds or len(metrics) != TRIALS:
        raise RuntimeError(f"the undisturbed sweep has {len(metrics)} trials and {verdict}")
    return metrics, seconds


def wait(stack: Stack, sweep_id: str) -> None:
    """Wait for the end of a sweep."""
    deadline = time.monotonic() + SWEEP_SECONDS
    while time.monotonic() < deadline:
        sweep = look(stack, sweep_id)
        if sweep is not None and sweep.state in ENDED:
            return
        time.sleep(0.3)
