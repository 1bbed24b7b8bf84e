"""The Kubernetes manifests fit together; no cluster has run them here."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest
import yaml

from service.settings import Settings

from .compose_files import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
SECRETS = {
    "sasam-secrets": {"admin_token", "service_db_password", "mlflow_db_password"},
    "sasam-ray-token": {"auth_token"},
}
"""What the head of kustomization.yaml tells the operator to make."""


def objects() -> list[dict[str, Any]]:
    """Everything that is applied."""
    return [
        one
        for name in KUSTOMIZATION["resources"]
        for one in yaml.safe_load_all((FOLDER / name).read_text())
    ]


def pods() -> list[Any]:
    """Every pod template."""
    found = []
    for one in objects():
        if one["kind"] == "Deployment":
            found.append((one["metadata"]["name"], one["spec"]["template"]["spec"]))
        if one["kind"] == "RayCluster":
            groups = [one["spec"]["headGroupSpec"], *one["spec"]["workerGroupSpecs"]]
            found += [(g.get("groupName", "head"), g["template"]["spec"]) for g in groups]
    return [pytest.param(pod, id=name) for name, pod in found]


def test_every_file_is_applied() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(KUSTOMIZATION["resources"])
    names = [(one["kind"], one["metadata"]["name"]) for one in objects()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("pod", pods())
def test_pod_is_closed_limited_and_watched(pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"livenessProbe", "readinessProbe"} <= set(container)
    assert "memory" in container["resources"]["limits"]
    assert "memory" in container["resources"]["requests"]
    images = {image["name"]: image for image in KUSTOMIZATION["images"]}
    assert images[container["image"]]["newTag"] == version("sasam")


@pytest.mark.parametrize("pod", pods())
def test_pod_mounts_what_exists(pod: dict[str, Any]) -> None:
    claims = {one["metadata"]["name"] for one in objects() if one["kind"].endswith("Claim")}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    for volume in volumes.values():
        if claim := volume.get("persistentVolumeClaim"):
            assert claim["claimName"] in claims
        secrets = [volume["secret"]] if "secret" in volume else []
        secrets += [source["secret"] for source in volume.get("projected", {}).get("sources", [])]
        for secret in secrets:
            keys = SECRETS[secret.get("secretName") or secret["name"]]
            assert {item["key"] for item in secret["items"]} <= keys


def test_service_is_told_only_of_settings_it_has_and_finds_ray() -> None:
    deployment = next(one for one in objects() if one["metadata"]["name"] == "sasam")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    told = {one["name"]: one["value"] for one in container["env"]}
    known = {f"SASAM_{name.upper()}" for name in Settings.model_fields} | {"SASAM_RAY_TOKEN_FILE"}
    assert set(told) - {"PGPASSWORD_FILE"} <= known
    cluster = next(one for one in objects() if one["kind"] == "RayCluster")
    head = f"{cluster['metadata']['name']}-head-svc"
    assert told["SASAM_RAY_ADDRESS"] == f"http://{head}:8265"
    assert cluster["spec"]["authOptions"] == {"mode": "token", "secretName": "sasam-ray-token"}
    assert cluster["spec"]["rayVersion"] == version("ray")
    paths = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {told["SASAM_STORAGE_PATH"], told["SASAM_DATA_DIR"]} <= paths


def test_driver_and_trials_see_the_paths_the_service_names() -> None:
    cluster = next(one for one in objects() if one["kind"] == "RayCluster")
    for group in [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]:
        (container,) = group["template"]["spec"]["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert mounts["/var/lib/sasam/storage"] == "storage"
        assert mounts["/var/lib/sasam/data"] == "data"
    assert cluster["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
