"""Results for notebooks: data frames and figures."""

from __future__ import annotations

import builtins
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from service.client import Client, Figure, MissingPackageError, Sweep


@pytest.fixture
def completed(client: Client, service: Any, specification: str) -> Sweep:
    sweep = client.sweeps.submit(specification)
    service.complete(sweep.sweep_id, msgd="diverged")
    return sweep.refresh()


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a package one that is not installed."""
    real = builtins.__import__

    def without(name: str) -> None:
        def guarded(wanted: str, *args: Any) -> Any:
            if wanted == name:
                raise ImportError(name)
            return real(wanted, *args)

        monkeypatch.setattr(builtins, "__import__", guarded)

    return without


def test_to_pandas_has_a_row_a_trial(completed: Sweep) -> None:
    frame = completed.to_pandas()
    keys = [trial.key for trial in completed.trials()]
    assert list(frame["key"]) == keys
    accuracies = [trial.metrics.get("val_accuracy") for trial in completed.trials()]
    assert [None if value != value else value for value in frame["val_accuracy"]] == accuracies
    assert frame["val_accuracy"].isna().sum() == 4


def test_figure_shows_vega_lite_and_a_picture(completed: Sweep) -> None:
    figure = completed.figure("accuracy-heatmap")
    bundle = figure._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.vegalite.v6+json", "image/svg+xml", "text/plain"}
    assert bundle["application/vnd.vegalite.v6+json"] == figure.specification
    assert bundle["image/svg+xml"].startswith("<svg")
    assert "accuracy" in bundle["text/plain"]
    (png,) = figure._repr_mimebundle_(include=["image/png"]).values()
    assert b64decode(png).startswith(b"\x89PNG")
    assert "image/svg+xml" not in figure._repr_mimebundle_(exclude=["image/svg+xml"])


def test_figure_drawn_here_is_the_one_the_service_draws(completed: Sweep) -> None:
    here, there = completed.figure("lr-curves").svg(), completed.figure_file("lr-curves")
    assert here.encode() == there


@pytest.mark.parametrize("suffix", ["svg", "png", "vl"])
def test_figure_is_saved_as_its_suffix_says(completed: Sweep, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"figure.{suffix}"
    completed.figure("best").save(file)
    beginning = {"svg": b"<svg", "png": b"\x89PNG", "vl": b"{"}[suffix]
    assert file.read_bytes().startswith(beginning)


def test_figure_unknown_suffix_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown suffix '.bmp' \(one of .svg"):
        Figure({}).save(tmp_path / "figure.bmp")


def test_figure_without_the_drawing_package_shows_what_it_can(missing: Any) -> None:
    figure = Figure.read(json.dumps({"$schema": "https://x/vega-lite/v6.1.0.json"}).encode())
    missing("vl_convert")
    assert set(figure._repr_mimebundle_()) == {"application/vnd.vegalite.v6+json", "text/plain"}
    with pytest.raises(MissingPackageError, match="pip install vl-convert-python"):
        figure.svg()


def test_to_pandas_without_pandas_says_what_to_install(completed: Sweep, missing: Any) -> None:
    missing("pandas")
    with pytest.raises(MissingPackageError, match="pip install pandas"):
        completed.to_pandas()


def test_logs_of_a_sweep_without_drivers_are_empty(client: Client, specification: str) -> None:
    sweep = client.sweeps.submit(specification)
    assert sweep.logs(tail=10) == ""
