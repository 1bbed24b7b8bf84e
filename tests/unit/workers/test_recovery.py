"""Recovery of the suggestions of a search whose sweep was extended."""

from __future__ import annotations

import json
from pathlib import Path

from mlflow.entities import Param, Run, RunData, RunInfo, RunTag

from workers.journal import Journal
from workers.recovery import recover_journal
from workers.spec import SweepSpec

PLAIN = {
    "name": "digits",
    "dataset": "digits",
    "model": "cnn-tiny",
    "optimizers": ["msgd"],
    "search": {"type": "tpe", "trials": 2},
}


def test_suggestions_are_recovered_after_an_extension_moved_their_positions(
    tmp_path: Path,
) -> None:
    small = SweepSpec.model_validate(PLAIN)
    search = {"type": "tpe", "trials": 3}
    large = SweepSpec.model_validate(
        PLAIN | {"search": search, "optimizers": ["adam", "msgd"], "seeds": [0, 1]}
    )
    points = [{"learning_rate": rate, "weight_decay": 1e-6} for rate in (0.01, 0.02, 0.03)]
    positions = {}
    for number, point in enumerate(points[:2]):
        for position, trial in small.expand("msgd", number, point).items():
            positions[trial.key] = (position, trial)
    for number, point in enumerate(points):
        for position, trial in large.expand("msgd", number, point).items():
            positions.setdefault(trial.key, (position, trial))
    assert len(positions) == 6
    runs = {}
    for key, (position, trial) in positions.items():
        values = trial.values_of(("learning_rate", "weight_decay")).plain()
        tags = {
            "sasam.optimizer": "msgd",
            "sasam.position": str(position),
            "sasam.hyperparameters": json.dumps(values),
            "sasam.outcome": "completed",
        }
        data = RunData(
            params=[Param(name, str(value)) for name, value in values.items()],
            tags=[RunTag(*item) for item in tags.items()],
        )
        info = RunInfo(key, "1", "sasam", "FINISHED", 1, 2, "active")
        runs[key] = Run(info, data)
    journal = Journal(tmp_path / "journal.jsonl")
    for _ in range(2):
        recover_journal(journal, large, runs, lambda *_: [])
    journal.close()
    found = [made.configuration.plain() for made in journal.suggestions]
    assert sorted(found, key=lambda point: point["learning_rate"]) == points
    assert sorted(made.number for made in journal.suggestions) == [0, 1, 2]
    assert journal.outcomes.keys() == positions.keys()
