"""What goes into the images: pinned versions with hashes, nothing secret, nothing superfluous."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .compose_files import ROOT

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
S3 = {"boto3", "botocore", "jmespath", "s3transfer"}
"""What only MLflow's image has: artifacts on S3."""
REQUIREMENTS = ("build", "mlflow", "service", "torch", "worker")
Pins = dict[tuple[str, str], frozenset[str]]


def pins(path: Path) -> Pins:
    """Hashes of each name and version in a requirements file."""
    found: Pins = {}
    for block in re.split(r"^(?=[a-z0-9])", path.read_text(), flags=re.MULTILINE):
        if match := re.match(r"([a-z0-9.-]+)(?:\[[a-z0-9,-]*\])?==([^ \\\n]+)", block):
            key = match[1], match[2]
            found[key] = found.get(key, frozenset()) | set(re.findall("sha256:[0-9a-f]{64}", block))
    return found


@pytest.fixture(scope="module")
def locked() -> Pins:
    return pins(ROOT / "requirements.lock")


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_are_a_part_of_the_lock(name: str, locked: Pins) -> None:
    found = pins(DEPLOY / f"requirements-{name}.txt")
    assert found
    for (package, version), hashes in found.items():
        assert hashes, package
        if not (name == "mlflow" and package in S3):
            assert hashes == locked.get((package, version)), f"{package}: run `make lock`"


def test_each_image_has_what_it_needs_and_no_more() -> None:
    names = {
        name: {package for package, _ in pins(DEPLOY / f"requirements-{name}.txt")}
        for name in REQUIREMENTS
    }
    assert not {"torch", "ray", "mlflow", "triton", "pandas"} & names["service"]
    assert {"fastapi", "alembic", "psycopg-binary", "mlflow-skinny"} <= names["service"]
    assert S3 | {"mlflow", "psycopg-binary"} <= names["mlflow"]
    assert {"torch", "torchvision"} <= names["torch"]
    assert not names["torch"] & names["worker"]
    assert {"ray", "mlflow", "optuna"} <= names["worker"]
    assert "opencv-python" not in names["worker"]


def test_dockerfile_installs_by_hash_from_pinned_bases() -> None:
    instructions = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    assert "syntax=" not in DOCKERFILE
    for base in re.findall(r"^ARG [A-Z]+_IMAGE=(.+)$", instructions, flags=re.MULTILINE):
        assert re.fullmatch(r"\$\{PYTHON_IMAGE\}|[a-z]+:[0-9][a-z0-9.-]+", base)
    for source in re.findall(r"^FROM (\S+)", instructions, flags=re.MULTILINE):
        assert source in {"${PYTHON_IMAGE}", "${BASE_IMAGE}"}
    installs = re.findall(r"pip (?:--python \S+ )?install ([^&;\n]+)", instructions)
    assert len(installs) == 8
    for options in installs:
        is_ours = "--no-index --no-deps /wheels" in options
        is_of_a_chosen_index = '--index-url "$TORCH_INDEX_URL"' in options
        is_checked = {"--no-deps", "--require-hashes"} <= set(options.split())
        assert is_ours or is_of_a_chosen_index or is_checked, options
    for stage in ("service", "mlflow", "worker"):
        body = re.split(rf"^FROM \S+ AS {stage}$", instructions, flags=re.MULTILINE)[1]
        body = re.split(r"^FROM ", body, flags=re.MULTILINE)[0]
        assert re.search(r"^USER sasam$", body, flags=re.MULTILINE), stage
        assert "LABEL org.opencontainers.image.title" in body
    assert not re.search(r"^(ADD|ENV|ARG) .*(TOKEN|PASSWORD|SECRET)", instructions, re.MULTILINE)


def test_build_context_holds_the_sources_alone() -> None:
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert not any(
        name.startswith((".git", ".venv", ".env", "secrets", "tests")) for name in allowed
    )
    for copied in re.findall(r"^COPY (?:--\S+ )*(.+) \S+$", DOCKERFILE, flags=re.MULTILINE):
        for name in copied.split():
            assert (ROOT / name).exists(), name
            assert any(Path(name).match(rule) for rule in allowed), name
