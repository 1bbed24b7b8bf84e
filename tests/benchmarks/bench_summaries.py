"""How long summaries and figures take over HTTP, cold and answered before.

Run it: ``python tests/benchmarks/bench_summaries.py``. It serves sweeps of made-up trials from a
database of its own; nothing else is needed. Times include the database, the computation, the
answer and HTTP; imports are paid by a small sweep before.
"""

from __future__ import annotations

import os
import random
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import uvicorn
from sqlalchemy import update

from service.app import create_app
from service.settings import Settings
from service.storage import Database, TrialRow
from service.sweeps.service import SweepService
from workers.corruptions.names import CORRUPTIONS
from workers.spec import SweepSpec

OPTIMIZERS = ["sa-sam", "sam", "sa-sgd", "msgd", "adam"]
SIZES = {"warm-up": (2, 2, 1), "80 trials": (4, 4, 1), "240 trials": (4, 4, 3)} | {
    "10,000 trials, 400 cells": (20, 20, 5),
    "10,000 trials, 125 seeds": (4, 4, 125),
}
QUESTIONS = ["summary", "summary?format=csv", "heatmap?metric=hessian_trace&format=json"]
PICTURES = ["figures/best?format=svg", "figures/overview?format=svg", "figures/overview?format=png"]


def main() -> None:
    """Print a table of times."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(Path(folder)) as (url, database, settings),
        httpx.Client(timeout=300, trust_env=False) as client,
    ):
        print(f"{'sweep':26}{'question':44}{'cold ms':>9}{'again ms':>10}{'kB':>8}")
        for name, size in SIZES.items():
            sweep_id = store(database, settings, *size)
            small = size[0] * size[1] <= 16 and size[2] <= 3
            for question in QUESTIONS + (PICTURES if small else []):
                address = f"{url}/api/v1/sweeps/{sweep_id}/{question}"
                cold, content = ask(client, address)
                again = min(ask(client, address)[0] for _ in range(5))
                if name != "warm-up":
                    print(
                        f"{name:26}{question:44}{1e3 * cold:9.0f}{1e3 * again:10.1f}"
                        f"{len(content) / 1e3:8.0f}"
                    )


def ask(client: httpx.Client, address: str) -> tuple[float, bytes]:
    """Seconds until the whole answer is here, and the answer."""
    start = time.perf_counter()
    response = client.get(address)
    seconds = time.perf_counter() - start
    response.raise_for_status()
    return seconds, response.content


def store(database: Database, settings: Settings, rates: int, decays: int, seeds: int) -> str:
    """Store a completed sweep of made-up trials."""
    specification = SweepSpec.model_validate(
        {
            "name": "made-up",
            "dataset": "cifar10",
            "model": "vgg19",
            "optimizers": OPTIMIZERS,
            "search": {
                "learning_rate": [10 ** (-4 + 3 * i / (rates - 1)) for i in range(rates)],
                "weight_decay": [0.0, *(10 ** (-8 + i / 4) for i in range(decays - 1))],
            },
            "seeds": list(range(seeds)),
        }
    )
    sweep, _ = SweepService(database, settings).submit(specification)
    rng = random.Random(0)  # noqa: S311 - made-up numbers
    with database.transaction() as session:
        session.execute(
            update(TrialRow),
            [
                {
                    "sweep_id": sweep.sweep_id,
                    "key": trial.key,
                    "outcome": "completed" if rng.random() > 0.05 else "diverged",
                    "epoch": 200,
                    "metrics": metrics(rng),
                    "ended_at": datetime.now(UTC),
                }
                for trial in specification.trials
            ],
        )
    return sweep.sweep_id


def metrics(rng: random.Random) -> dict[str, float]:
    """As many numbers as a trial measures."""
    found = {"val_accuracy": rng.uniform(0.6, 0.9), "ood_accuracy": rng.uniform(0.5, 0.8)}
    for name in ("train_loss", "val_loss", "ood_loss", "step_size", "gradient_evaluations"):
        found[name] = rng.uniform(1, 2)
    for split in ("validation", "ood"):
        for name in ("hessian_trace", "hessian_trace_stderr", "hessian_lambda_max"):
            found[f"{name}.{split}"] = 10 ** rng.uniform(0, 4)
    return found | {f"ood_accuracy.{name}": rng.random() for name in CORRUPTIONS}


@contextmanager
def serve(home: Path) -> Iterator[tuple[str, Database, Settings]]:
    """A service on a free port, with no cluster behind it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = Settings(home=home, port=port, reconcile_seconds=3600)
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}", app.state.services.database, settings
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
