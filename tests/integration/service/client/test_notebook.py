"""The example notebook runs from top to bottom, and is stored with the outputs of a real run."""

from __future__ import annotations

import ast
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from service.client import Client
from workers.spec import SweepSpec

NOTEBOOK = Path(__file__).parents[4] / "docs" / "notebooks" / "tuning-sensitivity.ipynb"


def sources() -> list[str]:
    """The code cells."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does; returns the value of its last expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)  # noqa: S102
    if last is None:
        return None
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)  # noqa: S307


def test_notebook_is_stored_with_the_outputs_of_one_run() -> None:
    notebook = json.loads(NOTEBOOK.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [*range(1, len(code) + 1)]
    outputs = [output for cell in code for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"execute_result"}
    assert len(outputs) == len(code)
    assert sum("image/svg+xml" in output["data"] for output in outputs) == 2
    assert "18/18 trials" in str(outputs)
    assert "127.0.0.1" not in str(outputs)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


def test_notebook_runs(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SASAM_URL", service.url)
    names: dict[str, Any] = {}
    values = []
    for source in sources():
        if ".wait()" in source:  # somebody must run the sweep
            trainer = threading.Thread(target=_train, args=(service,))
            trainer.start()
        values.append(run_cell(source, names))
    trainer.join()
    names["client"].close()

    assert names["sweep"].state == "completed"
    assert any(isinstance(value, list) and "SA-SAM" in str(value) for value in values)
    figures = [value for value in values if hasattr(value, "_repr_mimebundle_")]
    assert len(figures) == 2
    assert all("image/svg+xml" in figure._repr_mimebundle_() for figure in figures)
    assert names["trials"]["optimizer"].nunique() == 3
    assert values[-1]["state"] >= 3


def _train(service: Any) -> None:
    """Play the cluster: the notebook's sweep runs and completes."""
    with Client(service.url) as client:
        while not (found := list(client.sweeps.browse(name="notebook"))):
            pass
        sweep = client.sweeps.get(found[0].sweep_id)
    specification = SweepSpec.model_validate(sweep.detail.specification)
    service.complete(sweep.sweep_id, specification=specification)
