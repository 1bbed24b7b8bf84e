"""Fixtures that run commands against a real service."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.cli.application import app
from service.client import Client, Sweep
from tests.support.running_service import Service

Run = Callable[..., Result]


@pytest.fixture
def run(service: Service, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command with the given words."""
    monkeypatch.setenv("SASAM_URL", service.url)
    monkeypatch.setenv("COLUMNS", "80")

    def run_command(*words: str, **options: Any) -> Result:
        return CliRunner().invoke(app, words, prog_name="sasam", **options)

    return run_command


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """The service from Python, to prepare and to check."""
    with Client(service.url) as made:
        yield made


@pytest.fixture
def sweep(client: Client, specification: str) -> Sweep:
    """A new sweep, the latest one."""
    return client.sweeps.submit(specification)


@pytest.fixture
def completed(service: Service, sweep: Sweep) -> Sweep:
    """A completed sweep; all trials of SA-SAM have diverged."""
    service.complete(sweep.sweep_id, sa_sam="diverged")
    return sweep


@pytest.fixture
def start(service: Service) -> Callable[..., subprocess.Popen[str]]:
    """Start a command as a process of its own."""

    def start_command(*words: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", "from service.cli import main; main()", *words],
            env={**os.environ, "SASAM_URL": service.url, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start_command
