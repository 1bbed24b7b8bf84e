"""The compose files as data; what merging them means is left to docker compose."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

__all__ = ["BASE", "OVERRIDES", "RESET", "ROOT", "docker_compose", "load", "variables"]

ROOT = Path(__file__).parents[2]
BASE = ROOT / "docker-compose.yml"
OVERRIDES = {
    path.name.removeprefix("compose.").removesuffix(".yml"): path
    for path in sorted((ROOT / "deploy").glob("compose.*.yml"))
}
RESET = object()
"""What stands where an override takes something away (`!reset`)."""


class _Loader(yaml.SafeLoader):
    """Knows compose's own tags."""


_Loader.add_constructor("!reset", lambda *_: RESET)


def load(path: Path) -> dict[str, Any]:
    """A compose file, its anchors and merge keys resolved."""
    found: dict[str, Any] = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a SafeLoader
    return found


def variables(text: str) -> set[str]:
    """Names of the variables a file interpolates."""
    return set(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", text))


def docker_compose() -> str | None:
    """Why docker compose cannot be asked here; None when it can."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    answer = subprocess.run(
        ["docker", "compose", "version", "--short"], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        return "docker has no compose plugin"
    numbers = tuple(int(number) for number in re.findall(r"\d+", answer.stdout)[:2])
    return None if numbers >= (2, 24) else f"compose {answer.stdout.strip()} knows no !reset"
