"""How far the service goes: a sweep of many trials on a cluster of many nodes, by simulation.

    python tests/benchmarks/bench_scale.py --output docs/benchmarks.md

Real are the service's database, reconciler, read model, summary and pages of trials, and the MLflow
server. Ray's Jobs API is a stand-in that answers like it; a driver that does not train writes its
runs into MLflow's database in bulk, because the product's driver is measured elsewhere. Writes a
section of the page, one row per stage: seconds of the clock, CPU seconds of this process (the
service's part), its memory and the sizes of both databases.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from mlflow import MlflowClient
from page import machine, write_section

sys.path.insert(0, str(Path(__file__).parents[2]))

from service.execution.lease import Lease
from service.execution.reconciler import Reconciler
from service.external.mlflow_gateway import MlflowGateway
from service.external.ray_jobs import RayJobs
from service.sensitivity import summarize
from service.settings import Settings
from service.storage import Database
from service.summaries.loading import trial_table
from service.sweeps.service import SweepService
from service.trials.repository import TrialRepository
from service.trials.selection import TrialFilter
from tests.support.driver_stand_in import DriverStandIn
from tests.support.mlflow_server import serve_mlflow
from tests.support.ray_stand_in import RayStandIn
from tests.support.reconciler_world import World
from workers.mlflow_schema import Tag
from workers.spec import SweepSpec, TrialConfig

HEADING = "## Scale, by simulation"
ABOUT = (
    "Database, reconciler, read model, summary and MLflow are real; Ray's Jobs API and the driver"
    " are stand-ins, which answer at once. CPU seconds and memory are those of the service's part."
)
OPTIMIZERS = ["sa-sam", "sam", "sa-sgd", "msgd", "adam"]
RATES, DECAYS = 20, 20
BATCHES = 10
"""Parts in which the trials end; the reconciler makes a pass after each."""


class Stages:
    """Measures what each stage costs, and prints it as a row of a table.

    Args:
        files: Databases, by the heading of their column.
    """

    def __init__(self, files: dict[str, Path]) -> None:
        self._files = files
        self.lines: list[str] = []
        """The table."""
        self._add("stage", "s", "CPU s", "memory MB", *(f"{name} MB" for name in files))
        self._add("---", *["---:"] * (3 + len(files)))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sizes = (f"{size_mb(path):.0f}" for path in self._files.values())
        self._add(name, f"{wall:.2f}", f"{cpu:.2f}", f"{memory:.0f}", *sizes)

    def _add(self, *cells: str) -> None:
        self.lines.append(f"| {' | '.join(cells)} |")
        print(self.lines[-1], flush=True)


def size_mb(database: Path) -> float:
    """Size of an SQLite database with its write-ahead log."""
    files = (Path(f"{database}{suffix}") for suffix in ("", "-wal"))
    return sum(file.stat().st_size for file in files if file.exists()) / 1e6


def specification_of(trials: int) -> SweepSpec:
    """A grid of 400 configurations of each of five optimizers, with as many seeds as fit."""
    seeds = max(1, trials // (len(OPTIMIZERS) * RATES * DECAYS))
    return SweepSpec.model_validate(
        {
            "name": "scale",
            "dataset": "cifar10",
            "model": "vgg19",
            "optimizers": OPTIMIZERS,
            "search": {
                "learning_rate": [10 ** (-4 + 3 * i / (RATES - 1)) for i in range(RATES)],
                "weight_decay": [0.0, *(10 ** (-8 + i / 4) for i in range(DECAYS - 1))],
            },
            "seeds": list(range(seeds)),
        }
    )


@contextmanager
def world_of(home: Path, nodes: int, trials: int) -> Iterator[World]:
    """A reconciler with a real database and MLflow, and a cluster of GPU nodes."""
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    ray = RayStandIn()
    ray.nodes = [{"CPU": 64.0, "GPU": 8.0, "memory": 512e9}] * nodes
    with serve_mlflow(home) as mlflow:
        settings = Settings(
            home=home, ray_address=ray.address, mlflow_tracking_uri=mlflow.uri, max_trials=trials
        )
        database = Database(settings.resolved_database_url)
        database.migrate()
        jobs, results = RayJobs(settings), MlflowGateway(mlflow.uri)
        lease = Lease(database, seconds=3600)
        lease.acquire()
        try:
            yield World(
                *(database, settings, SweepService(database, settings), ray, results, lease),
                Reconciler(database, jobs, results, settings, lease),
                MlflowClient(mlflow.uri),
            )
        finally:
            jobs.close()
            database.close()
            ray.close()


def write_runs(
    mlflow: Path, experiment_id: str, sweep_id: str, trials: Sequence[TrialConfig]
) -> None:
    """Insert the runs of ended trials into MLflow's database."""
    rng = random.Random(len(trials))  # noqa: S311 - made-up numbers
    now = time.time_ns() // 1_000_000
    runs, tags, metrics = [], [], []
    for ago, trial in zip(range(len(trials), 0, -1), trials, strict=True):
        run_id = uuid4().hex
        runs.append((run_id, trial.key, experiment_id, now - 60_000 - ago, now - ago))
        named = {
            Tag.SWEEP: sweep_id,
            Tag.KIND: "trial",
            Tag.TRIAL: trial.key,
            Tag.ATTEMPT: "1",
            Tag.OUTCOME: "completed",
        }
        tags += [(str(key), value, run_id) for key, value in named.items()]
        values = {
            "epoch": 1.0,
            "val_accuracy": rng.uniform(0.6, 0.9),
            "ood_accuracy": rng.uniform(0.5, 0.8),
            "hessian_trace.validation": 10 ** rng.uniform(0, 4),
            "hessian_lambda_max.validation": 10 ** rng.uniform(0, 3),
        }
        metrics += [(key, value, now, 1, run_id) for key, value in values.items()]
    with sqlite3.connect(mlflow, timeout=60) as connection:
        connection.executemany(
            "INSERT INTO runs (run_uuid, name, experiment_id, start_time, end_time, status,"
            " lifecycle_stage, source_type, user_id, artifact_uri)"
            " VALUES (?, ?, ?, ?, ?, 'FINISHED', 'active', 'LOCAL', 'sasam', 'mlflow-artifacts:/')",
            runs,
        )
        connection.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tags)
        columns = "(key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, 0, ?)"
        for table in ("metrics", "latest_metrics"):
            connection.executemany(f"INSERT INTO {table} {columns}", metrics)
    connection.close()


def main() -> None:
    """Measure, and write the section of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100_000, help="a multiple of 2,000")
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="sasam-scale-") as folder:
        home = Path(folder)
        with world_of(home, arguments.nodes, arguments.trials) as world:
            rows = simulate(world, home, arguments.trials)
    begin = [HEADING, "", f"Made by `tests/benchmarks/bench_scale.py`: {machine()}.", ABOUT, ""]
    write_section(arguments.output, HEADING, "\n".join(begin + rows) + "\n")


def simulate(world: World, home: Path, count: int) -> list[str]:
    """Take a sweep from its submission to its summary; returns the table of its stages."""
    mlflow = home / "mlflow.db"
    stages = Stages({"service": Path(str(world.database.engine.url.database)), "MLflow": mlflow})
    with stages.stage("expand the specification"):
        specification = specification_of(count)
        trials = specification.trials
    with stages.stage(f"submit {len(trials):,} trials"):
        sweep_id = world.sweeps.submit(specification)[0].sweep_id
    with stages.stage(f"start the driver on {len(world.ray.nodes):,} nodes"):
        world.run(sweep_id)
    driver = DriverStandIn(world.client, sweep_id, specification)
    driver.start()
    step = -(-len(trials) // BATCHES)
    for at in range(0, len(trials), step):
        write_runs(mlflow, driver.experiment_id, sweep_id, trials[at : at + step])
        with stages.stage(f"pass after {min(at + step, len(trials)):,} ends"):
            world.tick()
    with stages.stage("idle pass"):
        world.tick()
    world.client.set_terminated(driver.parent, "FINISHED")
    world.ray.move(world.job(sweep_id), "SUCCEEDED", exit_code=0)
    with stages.stage("end"):
        world.tick(2)
    shown = world.show(sweep_id)
    if (shown.state, shown.progress.ended) != ("completed", len(trials)):
        raise RuntimeError(f"{shown.state}: {shown.progress.ended:,} of {len(trials):,} ended")
    with stages.stage("first page of trials"), world.database.snapshot() as session:
        TrialRepository(session).find(sweep_id, TrialFilter(), offset=0, limit=100)
    with stages.stage("read the table of results"):
        table = trial_table(world.row(sweep_id), world.trials(sweep_id))
    with stages.stage("summary"):
        summarize(table)
    return stages.lines


if __name__ == "__main__":
    main()
