"""Extensions of a sweep: what may grow, and what is refused with the value that must stay."""

from __future__ import annotations

from typing import Any

import pytest

from workers.spec import SpecError, SweepSpec
from workers.spec.extension import require_extension

GRID: dict[str, Any] = {
    "name": "digits",
    "dataset": "digits",
    "model": "cnn-tiny",
    "ood": None,
    "curvature": None,
    "optimizers": ["sam", {"name": "msgd", "momentum": 0.8, "search": {"nesterov": [True, False]}}],
    "search": {"learning_rate": [0.01, 0.1], "weight_decay": [0], "training.batch_size": 64},
    "seeds": [0, 1],
    "training": {"epochs": 4},
    "early_stopping": {"grace_epochs": 1},
    "tags": {"paper": "fig3"},
}
RANDOM = GRID | {"search": {"type": "random", "trials": 4, "seed": 3}}
TPE = GRID | {"search": {"type": "tpe", "trials": 4}}


def problems(before: dict[str, Any], **changes: Any) -> list[tuple[str, str, str]]:
    """Path, message and value of each problem of an extension."""
    with pytest.raises(SpecError) as caught:
        require_extension(
            SweepSpec.model_validate(before), SweepSpec.model_validate(before | changes)
        )
    return [(found.path, found.message, found.value) for found in caught.value.problems]


def paths(before: dict[str, Any], **changes: Any) -> list[str]:
    return [path for path, _, _ in problems(before, **changes)]


@pytest.mark.parametrize(
    ("before", "changes"),
    [
        (GRID, {"seeds": [2, 1, 0]}),
        (GRID, {"optimizers": ["adam", *GRID["optimizers"]]}),
        (GRID, {"search": GRID["search"] | {"learning_rate": [1, 0.01, 0.001, 0.1]}}),
        (
            GRID,
            {
                "seeds": [0, 1, 2],
                "optimizers": [
                    GRID["optimizers"][1],
                    "sam",
                    {"name": "sam", "label": "s", "rho": 1},
                ],
                "search": GRID["search"] | {"weight_decay": [1e-4, 0]},
                "limits": {"wall_clock": "2h"},
                "resources": {"max_concurrent": 1},
            },
        ),
        (RANDOM, {"search": RANDOM["search"] | {"trials": 9}, "seeds": [5, 0, 1]}),
        (RANDOM, {"optimizers": [*GRID["optimizers"], "adam"]}),
    ],
)
def test_extension_keeps_every_trial(before: dict[str, Any], changes: dict[str, Any]) -> None:
    small, large = SweepSpec.model_validate(before), SweepSpec.model_validate(before | changes)
    require_extension(small, large)
    kept = {trial.key for trial in large.trials}
    assert {trial.key for trial in small.trials} < kept
    assert len(kept) == large.trial_count > small.trial_count


@pytest.mark.parametrize("reuse", [True, False])
def test_extension_may_start_and_stop_to_reuse_trials(reuse: bool) -> None:
    plain = GRID | {"early_stopping": None}
    small = SweepSpec.model_validate(plain | {"reuse": not reuse})
    require_extension(small, SweepSpec.model_validate(plain | {"seeds": [2, 1, 0], "reuse": reuse}))


def test_extension_of_a_search_keeps_its_suggestions() -> None:
    small = SweepSpec.model_validate(TPE)
    large = SweepSpec.model_validate(
        TPE | {"search": TPE["search"] | {"trials": 6}, "seeds": [0, 1, 2]}
    )
    require_extension(small, large)
    point = {"learning_rate": 0.01, "weight_decay": 1e-6}
    before = {trial.key for trial in small.expand("sam", 3, point).values()}
    assert before < {trial.key for trial in large.expand("sam", 3, point).values()}


@pytest.mark.parametrize(
    ("changes", "path", "message", "value"),
    [
        ({"model": "vgg11-slim"}, "model.name", 'must stay "cnn-tiny"', '"vgg11-slim"'),
        ({"training": {"epochs": 5}}, "training.epochs", "must stay 4", "5"),
        ({"early_stopping": None}, "early_stopping", "must stay {", "null"),
        ({"name": "other"}, "name", 'must stay "digits"', '"other"'),
        ({"tags": {}}, "tags.paper", 'must stay "fig3"', "absent"),
        ({"score": "loss"}, "score", 'must stay "accuracy"', '"loss"'),
        ({"seeds": [1, 2, 3]}, "seeds", "must keep 0 of the sweep", "[1, 2, 3]"),
        ({"optimizers": GRID["optimizers"][:1]}, "optimizers", 'must keep "msgd"', '["sam"]'),
        (
            {"optimizers": ["sam", GRID["optimizers"][1] | {"momentum": 0.9}]},
            "optimizers[1].momentum",
            "must stay 0.8",
            "0.9",
        ),
        (
            {"optimizers": ["sam", GRID["optimizers"][1] | {"search": {"nesterov": [True]}}]},
            "optimizers[1].search.nesterov",
            "must keep false of the sweep",
            "[true]",
        ),
        (
            {"search": GRID["search"] | {"learning_rate": [0.1, 1, 10]}},
            "search.learning_rate",
            "must keep 0.01 of the sweep",
            "[0.1, 1.0, 10.0]",
        ),
        (
            {"search": GRID["search"] | {"training.batch_size": 32}},
            "search.training.batch_size",
            "must stay 64",
            "32",
        ),
        (
            {"search": GRID["search"] | {"training.batch_size": [64, 128]}},
            "search",
            "must keep the axes of sam and their order: learning_rate, weight_decay",
            "learning_rate, weight_decay, training.batch_size",
        ),
        (
            {"search": {"type": "random", "trials": 50}},
            "search.type",
            'must stay "grid"',
            '"random"',
        ),
        ({"limits": {"trial_retries": 1}}, "", "must lead to more trials than the 12", "12"),
    ],
)
def test_change_of_a_trial_is_refused_with_its_path(
    changes: dict[str, Any], path: str, message: str, value: str
) -> None:
    first = problems(GRID, **changes)[0]
    assert first[0] == path
    assert first[1].startswith(message)
    assert first[2] == value


def test_change_of_a_drawn_search_is_refused() -> None:
    search = RANDOM["search"]
    assert paths(RANDOM, search=search | {"seed": 4, "trials": 8}) == ["search.seed"]
    assert paths(RANDOM, search=search | {"trials": 3}) == ["search.trials"]
    wider = {"low": 1e-5, "high": 1}
    assert paths(RANDOM, search=search | {"learning_rate": wider, "trials": 8}) == [
        "search.learning_rate",
        "search.learning_rate",
    ]
    objectives = {"objectives": ["val_loss"], "trials": 9}
    assert paths(TPE, search=TPE["search"] | objectives)[0].startswith("search.objectives")


def test_own_code_of_the_trials_must_stay() -> None:
    before = GRID | {
        "optimizers": ["sam", "mine.py:Mine"],
        "files": {"mine.py": "class Mine: pass\n"},
    }
    after = {"files": {"mine.py": "class Mine: x = 1\n"}, "seeds": [0, 1, 2]}
    assert "files['mine.py']" in paths(before, **after)
