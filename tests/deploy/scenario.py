"""The compose deployment, for real: built, started, killed part by part, backed up, taken away.

Needs a Docker engine that has, or can pull, the images that docker-compose.yml names;
`make test-compose` brings one of its own. `make test` does not collect this file. The tests build
on each other, in this order.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import boto3
import httpx
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from moto.server import ThreadedMotoServer

from service.client import Client

log = logging.getLogger(__name__)
for library in ("httpx", "werkzeug"):
    logging.getLogger(library).setLevel(logging.WARNING)
pytestmark = pytest.mark.timeout(3600)

ROOT = Path(__file__).parents[2]
BASE_IMAGE = os.environ.get("PYTHON_IMAGE", "python:3.11-slim-bookworm")
DEADLINE_SECONDS = 600
SPECIFICATION = """
name: compose
dataset: digits
ood: {corruptions: [gaussian_noise, fog], severities: [1, 5], images: 100}
model: cnn-tiny
optimizers: [sa-sam, sa-sgd, msgd]
search: {learning_rate: [1e-2, 1e-1], weight_decay: [0, 1e-4]}
seeds: [0, 1]
training: {epochs: 12, batch_size: 64, augmentation: none}
curvature: {images: 100, trace_tolerance: 0.2}
"""
TRIALS = 3 * 2 * 2 * 2
T = TypeVar("T")


@dataclass
class Deployment:
    """One project of compose files and what it is told."""

    folder: Path
    project: str = "sasam-scenario"
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def token(self) -> str:
        return (self.secrets / "admin_token").read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.variables['SASAM_PORT']}"

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{self.variables['MLFLOW_PORT']}"

    def compose(
        self,
        *arguments: str,
        overrides: tuple[str, ...] = ("cpu",),
        project: str | None = None,
        variables: dict[str, str] | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run docker compose."""
        files = ["docker-compose.yml", *(f"deploy/compose.{name}.yml" for name in overrides)]
        command = ["docker", "compose", "-p", project or self.project]
        command += [word for file in files for word in ("-f", file)] + list(arguments)
        environment = os.environ | self.variables | (variables or {})
        answer = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if check and answer.returncode:
            pytest.fail(f"{' '.join(command)}\n{answer.stdout[-4000:]}\n{answer.stderr[-8000:]}")
        return answer

    def container(self, service: str) -> str:
        """Id of a service's only container."""
        return self.compose("ps", "-q", "--all", service).stdout.strip()

    def kill(self, service: str) -> None:
        """Kill a container's first process, which Docker does not take for a wish."""
        identity = self.container(service)
        os.kill(int(docker("inspect", "-f", "{{.State.Pid}}", identity)), signal.SIGKILL)
        until(lambda: self.restarts(service) > 0 or None, f"{service} to start again")

    def restarts(self, service: str) -> int:
        return int(docker("inspect", "-f", "{{.RestartCount}}", self.container(service)))

    def readiness(self) -> dict[str, Any] | None:
        """What /readyz says; None while nobody answers."""
        try:
            found: dict[str, Any] = httpx.get(f"{self.url}/readyz", timeout=30).json()
        except (httpx.HTTPError, ValueError):
            return None
        return found


def docker(*arguments: str) -> str:
    """Run docker; returns what it prints."""
    answer = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def until(probe: Callable[[], T | None], what: str) -> T:
    """Ask again and again until there is an answer."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        found = probe()
        if found is not None:
            return found
        time.sleep(0.5)  # between two looks, not instead of one
    pytest.fail(f"waited {DEADLINE_SECONDS} s for {what}")


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Images that are built and a project that is not up yet; all is taken down at the end."""
    found = Deployment(tmp_path_factory.mktemp("deployment"))
    subprocess.run([ROOT / "deploy" / "secrets.sh", found.secrets], check=True)
    found.variables = {
        "SECRETS": str(found.secrets),
        "SASAM_PORT": "18420",
        "MLFLOW_PORT": "15000",
        "SASAM_HTTP_PORT": "18080",
        "SASAM_HTTPS_PORT": "18443",
        "MLFLOW_HTTPS_PORT": "18444",
        "SASAM_DOMAIN": "localhost",
        "SASAM_PUBLIC_BIND": "127.0.0.1",
        "RAY_WORKER_MEMORY": "6g",
        "SASAM_VERSION": "scenario",
        "SASAM_REVISION": "0123456789abcdef0123456789abcdef01234567",
    }
    for name in ("service", "mlflow", "ray-worker"):
        started = time.monotonic()
        found.compose("build", name)
        log.info(f"built {name} in {time.monotonic() - started:.0f} s")
    yield found
    if os.environ.get("KEEP") != "1":
        found.compose("down", "-v", "--remove-orphans", overrides=("cpu", "tls", "monitoring"))


def test_images_are_small_and_hold_no_secret(deployment: Deployment) -> None:
    sizes = {"base": round(int(docker("image", "inspect", "-f", "{{.Size}}", BASE_IMAGE)) / 1e6)}
    for name in ("service", "mlflow", "worker"):
        image = f"sasam-{name}:scenario"
        sizes[name] = round(int(docker("image", "inspect", "-f", "{{.Size}}", image)) / 1e6)
        history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
        assert deployment.token not in history
        inside = (
            "ls /etc/pip.conf /run/secrets/* 2>/dev/null; find / -xdev -name 'pip.conf' 2>/dev/null"
        )
        assert docker("run", "--rm", "--entrypoint", "sh", image, "-c", f"{inside}; true") == ""
    packed = ["sh", "-c", "docker save sasam-service:scenario | gzip -c | wc -c"]
    download = int(subprocess.run(packed, capture_output=True, check=True).stdout)
    log.info(f"images in MB: {sizes}; the service's to download: {download / 1e6:.0f}")
    assert sizes["service"] - sizes["base"] <= 450
    probe = "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, ['torch', 'ray'])))"
    docker("run", "--rm", "sasam-service:scenario", "python", "-c", probe)


def test_missing_secret_starts_nothing_and_is_named(deployment: Deployment) -> None:
    secrets = deployment.folder / "incomplete"
    shutil.copytree(deployment.secrets, secrets)
    (secrets / "ray_token").unlink()
    answer = deployment.compose("up", "-d", check=False, variables={"SECRETS": str(secrets)})
    assert answer.returncode != 0
    assert f"{secrets}/ray_token" in answer.stderr
    assert deployment.compose("ps", "-q", "--status", "running").stdout == ""
    deployment.compose("down", "-v")


def test_empty_secret_ends_in_one_line(deployment: Deployment) -> None:
    secrets = deployment.folder / "empty"
    shutil.copytree(deployment.secrets, secrets)
    (secrets / "admin_token").unlink()
    (secrets / "admin_token").touch()
    answer = deployment.compose(
        "run", "--rm", "--no-deps", "service", check=False, variables={"SECRETS": str(secrets)}
    )
    assert answer.returncode == 78
    lines = [line for line in answer.stderr.splitlines() if line.startswith("sasam:")]
    assert lines == [
        "sasam: SASAM_ADMIN_TOKEN_FILE: /run/secrets/admin_token is empty; write a secret into it"
    ]
    deployment.compose("down", "-v")


def test_deployment_comes_up(deployment: Deployment) -> None:
    started = time.monotonic()
    deployment.compose("up", "-d", "--wait", "--wait-timeout", "600", "--no-build")
    log.info(f"up after {time.monotonic() - started:.0f} s")
    readiness = deployment.readiness()
    assert readiness is not None
    assert readiness["checks"] == dict.fromkeys(("database", "ray", "mlflow", "lease"), "ok")


def test_containers_are_closed_as_the_file_says(deployment: Deployment) -> None:
    lines = deployment.compose("ps", "--format", "json").stdout.splitlines()
    containers = [json.loads(line) for line in lines]
    published = {
        (port["URL"], port["PublishedPort"], port["TargetPort"])
        for one in containers
        for port in one["Publishers"] or ()
        if port["PublishedPort"]
    }
    assert published == {("127.0.0.1", 18420, 8420), ("127.0.0.1", 15000, 5000)}
    for one in containers:
        assert docker("exec", one["Name"], "id", "-u") != "0"
        write = ["docker", "exec", one["Name"], "touch", "/usr/local/bin/x"]
        refused = subprocess.run(write, capture_output=True, text=True, check=False)
        assert "Read-only file system" in refused.stderr
        status = docker("exec", one["Name"], "cat", "/proc/1/status")
        assert "CapEff:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status


def test_strangers_get_nothing(deployment: Deployment) -> None:
    assert httpx.get(f"{deployment.url}/api/v1/sweeps").status_code == 401
    assert httpx.get(f"{deployment.url}/metrics").status_code == 401
    rebound = httpx.get(f"{deployment.mlflow}/", headers={"Host": "evil.example"})
    assert rebound.status_code == 403
    unknown = "import httpx; print(httpx.get('http://ray-head:8265/api/version').status_code)"
    asked = deployment.compose("exec", "-T", "service", "python", "-c", unknown)
    assert asked.stdout.strip() in {"401", "403"}
    database = "import psycopg; psycopg.connect('postgresql://sasam@postgres/mlflow')"
    foreign = deployment.compose("exec", "-T", "service", "python", "-c", database, check=False)
    assert "permission denied for database" in foreign.stderr


def test_sweep_survives_the_death_of_service_worker_and_database(deployment: Deployment) -> None:
    started = time.monotonic()
    with Client(deployment.url, token=deployment.token, retry_seconds=120) as client:
        sweep = client.sweeps.submit(SPECIFICATION)
        for ended, victim in ((1, "service"), (5, "ray-worker"), (9, "postgres")):
            until(
                lambda ended=ended: sweep.refresh().progress.ended >= ended or None,
                f"{ended} trials",
            )
            deployment.kill(victim)
            log.info(f"{time.monotonic() - started:.0f} s: killed {victim}")
        sweep = client.sweeps.get(sweep.sweep_id).wait(900)
        log.info(f"{time.monotonic() - started:.0f} s: {sweep.state}, {sweep.progress}")
        assert sweep.state == "completed", sweep.detail.reason
        assert sweep.progress.completed == TRIALS
        summary = sweep.summary()
        keys = {trial.key for trial in sweep.trials()}
    assert summary.complete
    assert {one.optimizer for one in summary.optimizers} == {"sa-sam", "sa-sgd", "msgd"}
    for victim in ("service", "ray-worker", "postgres"):
        assert deployment.restarts(victim) == 1

    runs = trial_runs(deployment, sweep.sweep_id)
    assert Counter(run.data.tags["sasam.trial"] for run in runs) == dict.fromkeys(keys, 1)
    assert {run.info.status for run in runs} == {"FINISHED"}
    revision = deployment.variables["SASAM_REVISION"]
    assert {run.data.tags["mlflow.source.git.commit"] for run in runs} == {revision}


def trial_runs(deployment: Deployment, sweep_id: str) -> list[Run]:
    """MLflow's runs of a sweep's trials; each has an accuracy once an epoch."""
    tracking = MlflowClient(deployment.mlflow)
    experiment = tracking.get_experiment_by_name("compose")
    condition = f"tags.`sasam.sweep` = '{sweep_id}' and tags.`sasam.kind` = 'trial'"
    runs = list(tracking.search_runs([experiment.experiment_id], condition, max_results=1000))
    for run in runs:
        history = tracking.get_metric_history(run.info.run_id, "val_accuracy")
        assert [metric.step for metric in history] == [*range(1, len(history) + 1)]
    return runs


def test_mlflows_page_opens(deployment: Deployment) -> None:
    page = httpx.get(f"{deployment.mlflow}/")
    assert page.status_code == 200
    assert "<title>MLflow" in page.text


def test_commands_of_the_container_reach_the_database(deployment: Deployment) -> None:
    listed = deployment.compose("exec", "-T", "service", "sasam", "token", "list", "-o", "json")
    assert [row["name"] for row in json.loads(listed.stdout)] == ["bootstrap"]


def test_backup_is_restored_into_an_empty_deployment(deployment: Deployment) -> None:
    """Of a sweep that has ended, and of one that runs while it is made."""
    file = deployment.folder / "new" / "backup"
    script = [ROOT / "deploy" / "backup.sh", file]
    again = [ROOT / "deploy" / "restore.sh", file]
    environment = os.environ | deployment.variables
    environment["COMPOSE"] = f"docker compose -p {deployment.project} -f docker-compose.yml "
    environment["COMPOSE"] += "-f deploy/compose.cpu.yml"
    with Client(deployment.url, token=deployment.token) as client:
        (view,) = client.sweeps.browse()
        running = client.sweeps.submit(SPECIFICATION)
        until(lambda: running.refresh().progress.ended >= 4 or None, "four trials")
    subprocess.run(script, cwd=ROOT, env=environment, check=True)
    sizes = {path.name: path.stat().st_size for path in file.iterdir()}
    log.info(f"backup in bytes: {sizes}")
    deployment.compose("down", "-v")
    subprocess.run(again, cwd=ROOT, env=environment, check=True)
    deployment.compose("up", "-d", "--wait", "--wait-timeout", "600", "--no-build")
    ended = {
        run.data.tags["sasam.trial"]: run.info.end_time
        for run in trial_runs(deployment, running.sweep_id)
        if run.info.status == "FINISHED"
    }
    assert len(ended) >= 4
    with Client(deployment.url, token=deployment.token) as client:
        sweep = client.sweeps.get(view.sweep_id)
        assert sweep.progress.completed == TRIALS
        assert sweep.summary().complete
        gone_on = client.sweeps.get(running.sweep_id).wait(900)
        assert (gone_on.state, gone_on.progress.completed) == ("completed", TRIALS)
    runs = trial_runs(deployment, running.sweep_id)
    ends = {run.data.tags["sasam.trial"]: run.info.end_time for run in runs}
    assert len(runs) == len(ends) == TRIALS
    assert ended.items() <= ends.items(), "what had ended has run again"
    tracking = MlflowClient(deployment.mlflow)
    experiment = tracking.get_experiment_by_name("compose")
    condition = f"tags.`sasam.sweep` = '{sweep.sweep_id}' and tags.`sasam.kind` = 'sweep'"
    (parent,) = tracking.search_runs([experiment.experiment_id], condition)
    assert tracking.list_artifacts(parent.info.run_id)


def test_upgrade_asks_before_a_sweep_continues_and_loses_nothing(deployment: Deployment) -> None:
    """The commands of docs/operations.md, to images of another commit."""
    with Client(deployment.url, token=deployment.token) as client:
        done, before = summaries(client)
        running = client.sweeps.submit(SPECIFICATION)
        until(lambda: running.refresh().progress.ended >= 4 or None, "four trials")
    old = deployment.variables["SASAM_REVISION"]
    new = deployment.variables["SASAM_REVISION"] = "f" * 40
    started = time.monotonic()
    deployment.compose("build")
    upgrade = "mlflow db upgrade postgresql+psycopg://mlflow@postgres/mlflow"
    deployment.compose("run", "--rm", "mlflow", *upgrade.split())
    deployment.compose("up", "-d", "--wait", "--wait-timeout", "600", "--no-build")
    log.info(f"upgraded in {time.monotonic() - started:.0f} s")
    with Client(deployment.url, token=deployment.token) as client:
        assert summaries(client, done) == (done, before)
        paused = client.sweeps.get(running.sweep_id)
        until(lambda: paused.refresh().state == "paused" or None, "the question")
        assert old[:12] in str(paused.detail.reason)
        ended = {
            run.data.tags["sasam.trial"]: run.info.end_time
            for run in trial_runs(deployment, running.sweep_id)
            if run.info.status == "FINISHED"
        }
        assert len(ended) >= 4
        paused.resume(force=True)
        sweep = client.sweeps.get(running.sweep_id).wait(900)
        assert (sweep.state, sweep.progress.completed) == ("completed", TRIALS)
    runs = trial_runs(deployment, running.sweep_id)
    ends = {run.data.tags["sasam.trial"]: run.info.end_time for run in runs}
    assert len(runs) == len(ends) == TRIALS
    assert ended.items() <= ends.items(), "what had ended has run again"
    commits = {
        run.data.tags["sasam.trial"]: run.data.tags["mlflow.source.git.commit"] for run in runs
    }
    assert set(commits.values()) == {old, new}
    assert {commits[key] for key in ended} == {old}


def summaries(client: Client, ids: list[str] | None = None) -> tuple[list[str], list[Any]]:
    """The sweeps that have ended, and their summaries."""
    found = ids or [view.sweep_id for view in client.sweeps.browse() if view.state == "completed"]
    return found, [client.sweeps.get(sweep_id).summary().model_dump() for sweep_id in found]


def test_another_machines_worker_joins(deployment: Deployment) -> None:
    variables = {
        "SASAM_CLUSTER_NETWORK": f"{deployment.project}_cluster",
        "SASAM_STORAGE_VOLUME": f"{deployment.project}_storage",
        "SASAM_DATA_VOLUME": f"{deployment.project}_data",
    }
    node: dict[str, Any] = {
        "overrides": ("cpu", "node"),
        "project": "sasam-node",
        "variables": variables,
    }
    headers = {"Authorization": f"Bearer {deployment.token}"}

    def nodes() -> bool | None:
        text = httpx.get(f"{deployment.url}/metrics", headers=headers).text
        return "sasam_cluster_nodes 3.0" in text or None

    try:
        deployment.compose("up", "-d", "--wait", "--no-build", "--no-deps", "ray-worker", **node)
        until(nodes, "three nodes")
    finally:
        deployment.compose("down", **node)


def test_checkpoints_and_artifacts_lie_on_s3(deployment: Deployment) -> None:
    network = f"{deployment.project}_cluster"
    gateway = docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", network)
    store = ThreadedMotoServer(gateway, 0, verbose=False)
    store.start()
    url = "http://{}:{}".format(*store.get_host_and_port())
    credentials = deployment.folder / "aws_credentials"
    keys = ("aws_access_key_id", "aws_secret_access_key")
    credentials.write_text("[default]\n" + "".join(f"{key} = scenario\n" for key in keys))
    on_s3 = {
        "SASAM_STORAGE_PATH": "s3://scenario/sasam",
        "MLFLOW_ARTIFACTS": "s3://scenario/mlflow",
        "AWS_CREDENTIALS_FILE": str(credentials),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
    }
    s3 = boto3.client("s3", "us-east-1", endpoint_url=url, **dict.fromkeys(keys, "scenario"))
    s3.create_bucket(Bucket="scenario")
    up = ["up", "-d", "--wait", "--wait-timeout", "600", "--no-build"]
    try:
        deployment.compose(*up, variables=on_s3)
        with Client(deployment.url, token=deployment.token) as client:
            sweep = client.sweeps.submit(SPECIFICATION.replace("name: compose", "name: on-s3"))
            until(lambda: sweep.refresh().progress.ended >= 2 or None, "two trials")
            deployment.kill("ray-worker")
            sweep = client.sweeps.get(sweep.sweep_id).wait(900)
            assert (sweep.state, sweep.progress.completed) == ("completed", TRIALS)
            trials = {trial.key for trial in sweep.trials()}
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="scenario")
        names = [PurePosixPath(item["Key"]) for page in pages for item in page["Contents"]]
        folder = PurePosixPath("sasam/sweeps", sweep.sweep_id, "checkpoints")
        assert {name.parent.name for name in names if name.is_relative_to(folder)} == trials
        kinds = Counter((name.parts[0], name.name) for name in names)
        assert kinds["sasam", "checkpoint.pt"] == kinds["mlflow", "log.txt"] == TRIALS
        here = f"find /var/lib/sasam/storage/sweeps/{sweep.sweep_id} -name checkpoint.pt"
        found = deployment.compose("exec", "-T", "ray-worker", *here.split())
        assert found.stdout == ""
    finally:
        deployment.compose(*up)
        store.stop()


def test_full_storage_is_what_a_sweep_waits_for(deployment: Deployment) -> None:
    full = {"SASAM_MIN_FREE_BYTES": str(10**15)}
    deployment.compose("up", "-d", "--wait", "--no-build", "--no-deps", "service", variables=full)
    with Client(deployment.url, token=deployment.token) as client:
        sweep = client.sweeps.submit(SPECIFICATION)
        reason = until(lambda: sweep.refresh().detail.reason, "a reason")
        sweep.cancel()
    assert reason.startswith("the disk under /var/lib/sasam/storage is full")


def test_readyz_names_a_wrong_ray_token(deployment: Deployment) -> None:
    secrets = deployment.folder / "other"
    shutil.copytree(deployment.secrets, secrets)
    (secrets / "ray_token").chmod(0o644)
    (secrets / "ray_token").write_text("0" * 64)
    wrong = {"SECRETS": str(secrets)}
    again = ["up", "-d", "--no-build", "--no-deps", "--force-recreate"]
    deployment.compose(*again, "service", variables=wrong)
    readiness = until(deployment.readiness, "an answer")
    assert not readiness["ready"]
    assert "/api/version with 40" in readiness["checks"]["ray"]
    deployment.compose(*again, "--wait", "service")


def test_one_login_opens_service_and_mlflow_over_tls(deployment: Deployment) -> None:
    tls: dict[str, Any] = {"overrides": ("cpu", "tls")}
    deployment.compose("up", "-d", "--wait", "--wait-timeout", "600", "--no-build", **tls)
    published = docker("ps", "--format", "{{.Ports}}")
    assert "18420" not in published
    assert "15000" not in published
    authority = deployment.compose(
        "exec", "-T", "caddy", "cat", "/data/caddy/pki/authorities/local/root.crt", **tls
    )
    trusted = ssl.create_default_context(cadata=authority.stdout)
    site, mlflow = "https://localhost:18443", "https://localhost:18444"
    create = ["sasam", "token", "create", "reader", "--role", "read"]
    reader = deployment.compose("exec", "-T", "service", *create, **tls).stdout.strip()
    with httpx.Client(verify=trusted) as browser:
        turned_away = browser.get(f"{mlflow}/", headers={"Accept": "text/html"})
        assert turned_away.status_code == 303
        assert turned_away.headers["location"] == f"{site}/login"
        origin = {"Origin": site}
        login = browser.post(f"{site}/login", data={"token": deployment.token}, headers=origin)
        assert login.status_code == 303
        assert "Secure" in login.headers["set-cookie"]
        assert browser.get(f"{site}/").status_code == 200
        assert "<title>MLflow" in browser.get(f"{mlflow}/").text
        search = browser.post(
            f"{mlflow}/ajax-api/2.0/mlflow/experiments/search",
            json={"max_results": 10},
            headers={"Origin": mlflow},
        )
        assert "Default" in {one["name"] for one in search.json()["experiments"]}
    with httpx.Client(verify=trusted, headers={"Authorization": f"Bearer {reader}"}) as program:
        assert program.get(f"{site}/api/v1/sweeps").status_code == 200
        assert program.get(f"{mlflow}/").status_code == 403
    deployment.compose("rm", "-fs", "caddy", **tls)
    deployment.compose("up", "-d", "--wait", "--no-build")


def test_prometheus_reads_the_metrics(deployment: Deployment) -> None:
    create = ["sasam", "token", "create", "prometheus", "--role", "read"]
    token = deployment.compose("exec", "-T", "service", *create).stdout.strip()
    (deployment.secrets / "metrics_token").write_text(token)
    (deployment.secrets / "metrics_token").chmod(0o444)
    monitoring: dict[str, Any] = {"overrides": ("cpu", "monitoring")}
    deployment.compose("up", "-d", "--wait", "--no-build", "prometheus", **monitoring)
    check = "promtool check config /etc/prometheus/prometheus.yml"
    deployment.compose("exec", "-T", "prometheus", *check.split(), **monitoring)

    def value(query: str) -> float | None:
        ask = ["promtool", "query", "instant", "-o", "json", "http://127.0.0.1:9090", query]
        answer = deployment.compose("exec", "-T", "prometheus", *ask, **monitoring)
        found = json.loads(answer.stdout)
        return float(found[0]["value"][1]) if found else None

    assert until(lambda: value('up{job="sasam"}') or None, "a scrape") == 1
    assert until(lambda: value("max(sasam_ray_up)") or None, "Ray") == 1
    assert until(lambda: value('count(up{job="ray"} == 1)'), "Ray's own metrics") == 2
    deployment.compose("rm", "-fs", "prometheus", **monitoring)


def test_down_leaves_nothing(deployment: Deployment) -> None:
    deployment.compose("down", "-v", "--remove-orphans", overrides=("cpu", "tls", "monitoring"))
    label = f"label=com.docker.compose.project={deployment.project}"
    assert docker("ps", "-aq", "--filter", label) == ""
    assert docker("volume", "ls", "-q", "--filter", label) == ""
    assert docker("network", "ls", "-q", "--filter", label) == ""
