import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.sensitivity import TrialResult, TrialTable
from tests.support.made_up_trials import NAMES, random_table, result
from workers.metrics import Outcome

MakeTable = Callable[..., TrialTable]


@pytest.fixture(scope="session")
def oracle() -> Any:
    path = Path(__file__).parents[3] / "data" / "sensitivity.json"
    return json.loads(path.read_text())


@pytest.fixture(scope="session")
def oracle_results(oracle: Any) -> list[TrialResult]:
    return [
        TrialResult(
            key=f"t{position}",
            optimizer=trial["optimizer"],
            optimizer_name=NAMES[trial["optimizer"]],
            hyperparameters={
                "learning_rate": trial["learning_rate"],
                "weight_decay": trial["weight_decay"],
            },
            seed=trial["seed"],
            outcome=Outcome(trial["status"]),
            val_accuracy=trial["val_accuracy"],
            ood_accuracy=trial["ood_accuracy"],
            hessian_trace={"ood": trial["hessian_trace"]},
            hessian_lambda_max={"ood": trial["hessian_lambda_max"]},
        )
        for position, trial in enumerate(oracle["trials"])
    ]


@pytest.fixture(scope="session")
def oracle_table(oracle_results: list[TrialResult]) -> TrialTable:
    return TrialTable.from_results(oracle_results, chance_accuracy=0.1, workload="synthetic")


@pytest.fixture
def make_result() -> Callable[..., TrialResult]:
    return result


@pytest.fixture
def make_table() -> MakeTable:
    return random_table
