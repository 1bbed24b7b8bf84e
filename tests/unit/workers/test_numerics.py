"""The numerics of a trial change with everything that its numbers depend on."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from workers import numerics
from workers.numerics import describe_numerics

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def fresh():
    """Nothing that is remembered of the process."""
    cached = (numerics._code_digest, numerics._packages_digest, numerics._cpu_model)
    for function in cached:
        function.cache_clear()
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    for function in cached:
        function.cache_clear()


def parts(device=CPU, data="abc"):
    """The numerics, one part per entry."""
    return describe_numerics(device, data).split("; ")


def changed(before):
    """First words of the parts that have changed."""
    return [new.split()[0] for old, new in zip(before, parts(), strict=True) if old != new]


def test_numerics_of_one_process_are_equal():
    assert parts() == parts()
    assert "'" not in describe_numerics(CPU, "it's")


def test_numerics_name_versions_device_and_data():
    found = parts()
    assert found[0].startswith(f"sasam {version('sasam')} ")
    assert found[1] == f"torch {torch.__version__}"
    assert found[3].startswith("cpu ")
    assert found[-1] == "data abc"
    assert parts(data="abd")[:-1] == found[:-1]


def test_numerics_change_with_threads():
    torch.set_num_threads(1)
    before = parts()
    torch.set_num_threads(2)
    assert changed(before) == ["threads"]


def test_numerics_change_with_the_version_of_torch(monkeypatch):
    before = parts()
    monkeypatch.setattr(torch, "__version__", "1.0")
    assert changed(before) == ["torch"]


def test_numerics_change_with_an_installed_package(monkeypatch, tmp_path):
    before = parts()
    (tmp_path / "optimizers-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    numerics._packages_digest.cache_clear()
    assert changed(before) == ["packages"]


@pytest.mark.parametrize("package", ["sasam", "workers"])
def test_numerics_change_with_the_code(monkeypatch, tmp_path, package):
    for name in ("sasam", "workers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "code.py").write_text("x = 1\n")
    monkeypatch.setattr(numerics, "__file__", str(tmp_path / "workers" / "numerics.py"))
    numerics._code_digest.cache_clear()
    before = parts()
    Path(tmp_path / package / "code.py").write_text("x = 2\n")
    numerics._code_digest.cache_clear()
    assert changed(before) == ["sasam"]


def test_numerics_change_with_the_device(monkeypatch):
    before = parts()
    monkeypatch.setattr(numerics, "_cpu_model", lambda: "Another CPU")
    assert changed(before) == ["cpu"]
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91_000)
    assert parts(torch.device("cuda"))[3] == "cuda NVIDIA H200 cudnn 91000"
