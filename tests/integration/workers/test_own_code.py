"""A driver whose optimizers, model and data set come from the specification's files."""

from __future__ import annotations

from tests.integration.workers.test_driver import cluster
from tests.support.driver_jobs import artifact, artifact_json, runs_of, start_driver, trial_runs
from tests.unit.workers.training.test_code_check import FILES, specification
from workers.job import EXIT_INVALID

__all__ = ["cluster"]

RAISES_IN_STEP = """\
import torch


class Mine(torch.optim.SGD):
    steps = 0

    def step(self, closure=None):
        self.steps += 1
        if self.steps > 9:  # after the check of optimizers
            raise RuntimeError("broken on purpose")
        return super().step(closure)
"""


def test_sweep_of_own_code_ends_with_results_and_a_failed_trial(
    cluster, client, make_job, tmp_path
):
    files = {name: FILES[name] for name in ("opt.py", "net.py", "data.py")}
    optimizers = ["./opt.py:Mine", {"name": "./raises.py:Mine", "label": "raises"}]
    changes = specification(optimizers=optimizers, files=files | {"raises.py": RAISES_IN_STEP})
    del changes["name"]
    job = make_job(**changes, limits={"trial_retries": 0})
    assert start_driver(job, cluster, tmp_path / "log").wait(timeout=300) == 0

    runs = {run.data.params["optimizer.name"]: run for run in trial_runs(client, job).values()}
    own, failed = runs["opt.py:Mine"], runs["raises.py:Mine"]
    assert own.data.tags["sasam.outcome"] == "completed"
    assert own.data.metrics["val_accuracy"] > 0.9
    digests = job.specification.trials[0].describe()
    for name in files:
        assert own.data.params[f"files.{name}"] == digests[f"files.{name}"]
    assert "files.raises.py" not in own.data.params
    assert failed.data.tags["sasam.outcome"] == "failed"
    traceback = artifact(client, failed, "traceback.txt", tmp_path)
    assert '/raises.py", line 10, in step\n    raise RuntimeError("broken on purpose")' in traceback
    (parent,) = (run for run in runs_of(client, job) if run.data.tags["sasam.kind"] == "sweep")
    stored = artifact_json(client, parent, "specification.json", tmp_path)
    assert stored["files"] == files | {"raises.py": RAISES_IN_STEP}


def test_code_that_cannot_be_imported_ends_the_sweep_with_its_line(
    cluster, client, make_job, tmp_path
):
    changes = specification(
        optimizers=["./fails.py:x"], files={n: FILES[n] for n in ("fails.py", "net.py", "data.py")}
    )
    del changes["name"]
    job = make_job(**changes)
    assert start_driver(job, cluster, tmp_path / "log").wait(timeout=300) == EXIT_INVALID
    assert (tmp_path / "log").read_text().splitlines()[-1] == (
        "sasam: optimizers[0].name: cannot be imported: fails.py, line 3: RuntimeError: it broke "
        "(got fails.py:x)"
    )
