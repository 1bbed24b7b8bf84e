"""What the compose files promise, seen without an engine; `make test-compose` runs them."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .compose_files import BASE, OVERRIDES, RESET, ROOT, docker_compose, load, variables

FILES = {"base": BASE, **OVERRIDES}
ANY = "0.0.0.0"  # noqa: S104 - nothing is bound here
RAY_PORTS = {"6379", "8265", "10001"}
OPEN_TO_OTHERS = {"caddy"}
ROOT_WITHOUT_PRIVILEGES = {"caddy"}
SHOWN_OTHERWISE = {
    *("TORCH_INDEX_URL", "PIP_CONF_FILE", "CA_BUNDLE_FILE"),
    *("MLFLOW_ARTIFACTS", "SASAM_STORAGE_PATH", "AWS_CREDENTIALS_FILE"),
}
"""Variables whose example is no default."""
COMBINATIONS = [
    names for size in range(len(OVERRIDES) + 1) for names in itertools.combinations(OVERRIDES, size)
]


def own_services() -> list[Any]:
    """Every service with the file that defines it."""
    return [
        pytest.param(name, service, id=f"{file}-{name}")
        for file, path in FILES.items()
        for name, service in load(path).get("services", {}).items()
        if "image" in service
    ]


@pytest.mark.parametrize(("name", "service"), own_services())
def test_service_is_watched_limited_and_closed(name: str, service: dict[str, Any]) -> None:
    assert service["restart"] == "unless-stopped"
    assert service["init"] is True
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["healthcheck"]) >= {"test", "interval", "timeout"}
    assert set(service["deploy"]["resources"]["limits"]) == {"memory", "pids"}
    user = str(service["user"]).partition(":")[0]
    assert (user in {"0", "root"}) == (name in ROOT_WITHOUT_PRIVILEGES)
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else [])
    assert not {"privileged", "network_mode", "pid", "ipc", "devices"} & set(service)
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))


@pytest.mark.parametrize(("name", "service"), own_services())
def test_published_ports_are_local_and_never_rays(name: str, service: dict[str, Any]) -> None:
    for port in service.get("ports", []):
        address, _, target = port.rpartition(":")
        assert target not in RAY_PORTS
        if name not in OPEN_TO_OTHERS:
            local = ("127.0.0.1:", "${SASAM_BIND:-127.0.0.1}:", "${MLFLOW_BIND:-127.0.0.1}:")
            assert address.startswith(local), port
    if name.startswith(("ray", "postgres", "prometheus")):
        assert "ports" not in service


@pytest.mark.parametrize(("name", "service"), own_services())
def test_image_is_pinned_and_waits_for_healthy_dependencies(
    name: str, service: dict[str, Any]
) -> None:
    image = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", service["image"])
    assert re.fullmatch(r"[a-z0-9./-]+:v?[0-9][a-z0-9.-]*", image), image
    for needed, how in service.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}, needed


def test_only_service_and_mlflow_reach_the_database() -> None:
    base = load(BASE)
    assert base["networks"]["database"] == {"internal": True}
    inside = {name for name, one in base["services"].items() if "database" in one["networks"]}
    assert inside == {"postgres", "service", "mlflow"}
    assert base["services"]["postgres"]["networks"] == ["database"]


def test_secrets_come_from_files_and_nowhere_else() -> None:
    for path in FILES.values():
        for name, secret in load(path).get("secrets", {}).items():
            assert set(secret) == {"file"}, name
        for line in path.read_text().splitlines():
            assert not re.search(r"(PASSWORD|TOKEN|SECRET)[A-Z_]*: *[\"']?[A-Za-z0-9]{8,}", line)


def test_secrets_that_services_use_are_declared_and_made(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    script = ROOT / "deploy" / "secrets.sh"
    subprocess.run([script, folder], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    for path in FILES.values():
        content = load(path)
        declared = content.get("secrets", {})
        for service in content.get("services", {}).values():
            used = set(service.get("secrets", []))
            assert used <= set(declared)
            # The one only a running service can make, the other is somebody else's.
            assert used <= set(made) | {"metrics_token", "aws_credentials"}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(re.fullmatch("[0-9a-f]{64}", secret) for secret in made.values())
    assert len(set(made.values())) == len(made)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    subprocess.run([script, folder], check=True, capture_output=True)
    assert made == {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("override", OVERRIDES)
def test_override_changes_only_what_is_there(override: str) -> None:
    base, changed = load(BASE), load(OVERRIDES[override])
    for name, service in changed.get("services", {}).items():
        if "image" not in service:
            assert name in base["services"]
            for key, value in service.items():
                assert value is not RESET or key in base["services"][name]
        known = set(base["services"]) | set(changed["services"])
        assert set(service.get("depends_on", {})) <= known
        named = set(base["networks"]) | set(changed.get("networks") or {})
        assert set(service.get("networks", [])) <= named
    if override == "node":
        assert set(changed["networks"]) <= set(base["networks"])
        assert set(changed["volumes"]) <= set(base["volumes"])


def test_example_of_the_environment_names_only_what_files_read() -> None:
    example = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", example, flags=re.MULTILINE))
    handed_on = {
        name
        for service in load(BASE)["services"].values()
        for name, value in service.get("environment", {}).items()
        if value is None
    }
    read = set().union(*(variables(path.read_text()) for path in FILES.values())) | handed_on
    assert named <= read
    for name, default in re.findall(r"^#([A-Z0-9_]+)=(\S+)$", example, flags=re.MULTILINE):
        written = re.search(rf"\$\{{{name}:?-([^}}]+)\}}", BASE.read_text())
        if written and name not in SHOWN_OTHERWISE:
            assert written[1] == default, name


def merged(names: tuple[str, ...], tmp_path: Path) -> dict[str, Any]:
    """What docker compose makes of the base file and overrides."""
    command: list[str | Path] = ["docker", "compose", "--project-directory", ROOT]
    command += ["--env-file", "/dev/null"]
    for path in (BASE, *(OVERRIDES[name] for name in names)):
        command += ["-f", path]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SASAM_DOMAIN": "a.example"}
    environment |= {k: v for k, v in os.environ.items() if k.startswith("DOCKER")}
    answer = subprocess.run(
        [*command, "config", "--format", "json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "level=warning" not in answer.stderr, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


@pytest.mark.skipif(docker_compose() is not None, reason=str(docker_compose()))
@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_compose_takes_every_combination(names: tuple[str, ...], tmp_path: Path) -> None:
    services = merged(names, tmp_path)["services"]
    worker = services["ray-worker"]["deploy"]["resources"]
    assert ("devices" in worker.get("reservations", {})) == ("cpu" not in names)
    assert worker["limits"]["memory"]
    published = {
        name: {(port["host_ip"], port["target"]) for port in service["ports"]}
        for name, service in services.items()
        if service.get("ports")
    }
    expected: dict[str, set[tuple[str, int]]] = {}
    if "tls" in names:
        expected["caddy"] = {(ANY, 80), (ANY, 443), (ANY, 8443)}
    else:
        expected["service"] = {("127.0.0.1", 8420)}
        expected["mlflow"] = {("127.0.0.1", 5000)}
    if "monitoring" in names:
        expected["grafana"] = {("127.0.0.1", 3000)}
    assert published == expected
