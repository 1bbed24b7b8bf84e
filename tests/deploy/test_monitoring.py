"""Dashboard and alerts ask for metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

import pytest
import yaml
from prometheus_client import generate_latest

from service.observation.cluster import ClusterUsage, ClusterWatch
from service.observation.metrics import Metrics
from service.storage import Database

from .compose_files import OVERRIDES, ROOT, load

DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "sasam.json"
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
SCRAPING = ROOT / "deploy" / "prometheus" / "prometheus.yml"


class _Busy:
    """A cluster that says everything a cluster can say."""

    def latest(self) -> ClusterUsage:
        return ClusterUsage(1, 1, 1, 0.5, 0.5, 1, 2)


@pytest.fixture
def names(tmp_path: Path) -> set[str]:
    """Names of all series the service can show."""
    database = Database(f"sqlite:///{tmp_path / 'sasam.db'}")
    database.migrate()
    metrics = Metrics(database, cast(ClusterWatch, _Busy()))
    metrics.observe_request("GET", "/", 200, 0.1)
    metrics.observe_pass(0.1, failed=True)
    text = generate_latest(metrics.registry).decode()
    database.close()
    return set(re.findall(r"^(sasam_[a-z_]+)", text, flags=re.MULTILINE))


def expressions() -> list[str]:
    """Every query of dashboard and alerts."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return found + [rule["expr"] for group in groups for rule in group["rules"]]


def test_every_query_asks_for_what_the_service_shows(names: set[str]) -> None:
    asked = {name for query in expressions() for name in re.findall(r"sasam_[a-z_]+", query)}
    assert asked <= names
    shown = {re.sub(r"_(bucket|sum|count|created|total)$", "", name) for name in names}
    used = {re.sub(r"_(bucket|sum|count|created|total)$", "", name) for name in asked}
    assert shown - used <= {"sasam_cluster_cpus"}, "the dashboard leaves something out"


def test_targets_are_services_of_the_compose_files() -> None:
    known = {"service", "ray-head", "ray-worker", "prometheus"}
    for job in yaml.safe_load(SCRAPING.read_text())["scrape_configs"]:
        for group in job.get("static_configs", []):
            assert {target.partition(":")[0] for target in group["targets"]} <= known
        for group in job.get("dns_sd_configs", []):
            assert set(group["names"]) <= known
    mounted = load(OVERRIDES["monitoring"])["services"]
    for service in mounted.values():
        for volume in service["volumes"]:
            if volume.startswith("./"):
                assert (ROOT / volume.partition(":")[0]).is_dir()
