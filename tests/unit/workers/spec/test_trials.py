"""What a sweep expands to, and what makes a trial the same trial."""

from __future__ import annotations

import json
from importlib.resources import files
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.spec import SpecError, TrialConfig, load_spec, validate_spec

KEYS_OF_MANY_AXES = [
    "cd72db4188c4cd21",
    "0713986ca07660c5",
    "f874c2432b76128f",
    "353cfb6269476879",
    "191299afeabc3812",
    "85ef4f6902331ce5",
    "0bad8ce509accdf3",
    "ed78a792c7694b24",
    "8c837beb3b83da3a",
    "9b6f3bf4986efad0",
]
"""Recorded when searches got axes other than learning rate and weight decay."""
PRESETS = sorted(
    path.name for path in files("workers.presets").iterdir() if path.name.endswith(".yaml")
)
OPTIMIZERS = ["sa-sam", "sam", "sa-sgd", "msgd", "adam"]


def preset(name):
    return load_spec((files("workers.presets") / name).read_text())


def trial(**changes):
    """The first trial of a small sweep, with changes to its sections."""
    data = {
        "name": "small",
        "dataset": "digits",
        "model": "cnn-tiny",
        "optimizers": ["sam"],
        "search": {"learning_rate": [0.1], "weight_decay": [0]},
    }
    return validate_spec(data | changes).trials[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_preset_survives_a_round_trip(name):
    spec = preset(name)
    for data in (spec.model_dump(), json.loads(spec.model_dump_json())):
        again = validate_spec(data)
        assert again == spec
        assert [t.key for t in again.trials] == [t.key for t in spec.trials]
    assert [TrialConfig.model_validate(t.model_dump(mode="json")) for t in spec.trials] == list(
        spec.trials
    )


def test_preset_keys_are_unique():
    trials = [trial for name in PRESETS for trial in preset(name).trials]
    assert len({trial.key for trial in trials}) == len(trials)
    assert all(len(trial.key) == 16 and int(trial.key, 16) >= 0 for trial in trials)


def test_presets_have_their_number_of_trials():
    assert {name: preset(name).trial_count for name in PRESETS} == {
        "digits.yaml": 80,
        "tiny-lm.yaml": 30,
        "paper-vgg19.yaml": 240,
        "paper-vit-small.yaml": 240,
    }


def test_trials_order_has_seeds_outermost_and_optimizers_innermost():
    spec = validate_spec(
        {
            "name": "small",
            "dataset": "digits",
            "model": "cnn-tiny",
            "optimizers": OPTIMIZERS,
            "search": {"learning_rate": [0.1, 0.01], "weight_decay": [0, 1e-4, 1e-6]},
            "seeds": [7, 3],
        }
    )
    expected = list(product([7, 3], [0.1, 0.01], [0, 1e-4, 1e-6], OPTIMIZERS))
    order = [(t.seed, t.learning_rate, t.weight_decay, t.optimizer.name) for t in spec.trials]
    assert order == expected
    assert spec.trial_count == len(expected)


def test_absurd_grid_is_refused_before_its_trials_are_made():
    steps = [float(i) for i in range(1, 1_001)]
    data = {
        "name": "absurd",
        "dataset": "digits",
        "model": "cnn-tiny",
        "optimizers": OPTIMIZERS,
        "search": {"learning_rate": steps, "weight_decay": steps},
        "seeds": list(range(1_000)),
    }
    with pytest.raises(SpecError) as caught:
        validate_spec(data)
    (problem,) = caught.value.problems
    assert problem.path == "search"
    assert problem.message == (
        "must lead to at most 100,000 trials: 5 optimizers x 1,000,000 configurations x 1,000 seeds"
    )
    assert problem.value == "5000000000"


@pytest.mark.parametrize(
    "same",
    [
        {"optimizers": [{"name": "sam", "label": "mine"}]},
        {"optimizers": [{"rho": "sqrt-lr", "momentum": 0, "name": "sam"}]},
        {"optimizers": [{"name": "sam", "momentum": -0.0}]},
        {"dataset": {"name": "digits", "placement": "host"}},
        {"dataset": {"seed": 0, "validation": "test", "name": "digits"}},
        {"training": {"checkpoint_every": 7}},
        {"search": {"learning_rate": [1e-1], "weight_decay": [-0.0]}},
        {"name": "another"},
        {"seeds": [0, 1, 2]},
        {"priority": 3, "tags": {"owner": "vision"}},
        {"reuse": True},
        {"resources": {"gpu": 0.25}, "limits": {"trial_retries": 0}},
    ],
)
def test_key_does_not_change_with_what_changes_no_result(same):
    assert trial(**same).key == trial().key


def test_key_is_the_same_for_whole_numbers_and_floats():
    whole = trial(
        search={"learning_rate": [1], "weight_decay": [2]}, optimizers=[{"name": "sam", "rho": 1}]
    )
    decimal = trial(
        search={"learning_rate": [1.0], "weight_decay": [2.0]},
        optimizers=[{"name": "sam", "rho": 1.0}],
    )
    assert whole.key == decimal.key


DIFFERENT = [
    {"search": {"learning_rate": [0.2], "weight_decay": [0]}},
    {"search": {"learning_rate": [0.1], "weight_decay": [1e-8]}},
    {"seeds": [1]},
    {"dataset": "cifar10"},
    {"dataset": {"name": "cifar10", "test_sets": ["cifar10.1-v6"]}},
    {"curvature": {"metrics": ["trace", "stability_ratio"]}},
    {"curvature": {"sharpness_images": 512}},
    {"curvature": {"worst_case_radius": 0.01}},
    {"curvature": {"average_case_radius": 0.01}},
    {"ood": None, "curvature": None},
    {"model": "vgg19"},
    {"curvature": None},
    *({"optimizers": [name]} for name in OPTIMIZERS if name != "sam"),
    *({"optimizers": [{"name": "sam", **o}]} for o in ({"rho": 0.05}, {"momentum": 0.9})),
    *(
        {"optimizers": [{"name": "sa-sam", **option}]}
        for option in (
            {"preset": "reference"},
            {"delta": 1},
            {"damping": 1},
            {"theta_init": 1},
            {"max_lr": 1},
            {"rho": 0.05},
        )
    ),
    *({"optimizers": [{"name": "msgd", **o}]} for o in ({"momentum": 0.8}, {"nesterov": True})),
    *({"optimizers": [{"name": "adam", **o}]} for o in ({"betas": [0.9, 0.9]}, {"eps": 1e-7})),
    *(
        {"dataset": {"name": "digits", **option}}
        for option in (
            {"validation": "split"},
            {"validation_fraction": 0.1},
            {"train_size": 100},
            {"test_size": 100},
            {"seed": 1},
            {"kwargs": {"a": 1}},
        )
    ),
    *(
        {"ood": option}
        for option in (
            {"corruptions": "benchmark"},
            {"corruptions": ["fog"]},
            {"severities": [1]},
            {"images": 10},
            {"source": "generated"},
        )
    ),
    {"model": {"name": "cnn-tiny", "kwargs": {"width": 3}}},
    *(
        {"training": option}
        for option in (
            {"epochs": 3},
            {"batch_size": 8},
            {"augmentation": "none"},
            {"precision": "bf16"},
            {"schedule": "cosine"},
            {"warmup_epochs": 1},
            {"label_smoothing": 0.1},
            {"gradient_clipping": 1},
            {"channels_last": False},
            {"compile": True},
        )
    ),
    *(
        {"curvature": option}
        for option in (
            {"metrics": ["trace"]},
            {"splits": ["ood"]},
            {"images": 10},
            {"every": 1},
            {"at_best": True},
            {"trace_method": "hutchinson"},
            {"trace_tolerance": 0.1},
            {"eigenvalue_method": "power"},
            {"eigenvalue_tolerance": 0.1},
            {"max_matvecs": 10},
        )
    ),
]


def test_key_changes_with_every_other_field():
    keys = [trial().key, *(trial(**different).key for different in DIFFERENT)]
    assert len(set(keys)) == len(keys)


def test_different_configurations_name_every_field():
    """The list above grows with the specification."""
    named = {name for different in DIFFERENT for name in _names(different)}
    named |= {"optimizer.name", "optimizer.label", "optimizer.scheduled"}
    named |= {"dataset.placement", "training.checkpoint_every"}
    trials = [trial(optimizers=[name]) for name in OPTIMIZERS]
    fields = {name for t in trials for name in t.describe() if "." in name}
    assert fields <= named


def _names(different):
    """Dotted names of the fields that a change touches, as `TrialConfig.describe` has them."""
    for section, value in different.items():
        if section == "optimizers" and isinstance(value[0], dict):
            yield from (f"optimizer.{key}" for key in value[0])
        elif isinstance(value, dict):
            yield from (f"{section}.{key}" for key in value)
        elif section in ("model", "dataset"):
            yield f"{section}.name"


@settings(deadline=None, max_examples=50)
@given(
    learning_rate=st.floats(1e-30, 1e30),
    weight_decay=st.just(0.0) | st.floats(1e-30, 1e30),
    seed=st.integers(0, 2**32 - 1),
)
def test_key_survives_text(learning_rate, weight_decay, seed):
    config = trial(
        search={"learning_rate": [learning_rate], "weight_decay": [weight_decay]}, seeds=[seed]
    )
    again = TrialConfig.model_validate_json(config.model_dump_json())
    assert again == config
    assert again.key == config.key


def test_key_is_the_same_in_every_release():
    """A changed key would run every stored sweep's trials again."""
    assert trial().key == "a273fc571287d0c6"


MANY_AXES = {
    "name": "many",
    "dataset": "digits",
    "model": "cnn-tiny",
    "optimizers": [
        {"name": "sam", "search": {"rho": [0.05, 0.1]}},
        {"name": "adam", "search": {"betas": [[0.9, 0.95]], "weight_decay": None}},
    ],
    "search": {
        "learning_rate": [0.1],
        "weight_decay": [0, 1e-4],
        "training.batch_size": [64],
        "model.kwargs.width": [4, 8],
        "dataset.train_size": [500],
    },
}


def test_keys_of_many_axes_are_the_same_in_every_release():
    assert [trial.key for trial in validate_spec(MANY_AXES).trials] == KEYS_OF_MANY_AXES


def test_key_of_an_axis_is_that_of_the_setting():
    """A value gives the same trial wherever the specification has it."""
    whole = validate_spec(MANY_AXES)
    parts = {
        "optimizers": [{"name": "sam", "rho": 0.1}],
        "search": {"learning_rate": [0.1], "weight_decay": [1e-4]},
        "training": {"batch_size": 64},
        "model": {"name": "cnn-tiny", "kwargs": {"width": 8}},
        "dataset": {"name": "digits", "train_size": 500},
    }
    (plain,) = validate_spec(MANY_AXES | parts).trials
    (same,) = (trial for trial in whole.trials if trial.key == plain.key)
    assert same == plain
    assert same.values_of(whole.axes("sam")).plain() == {
        **{"learning_rate": 0.1, "weight_decay": 1e-4, "training.batch_size": 64},
        **{"model.kwargs.width": 8, "dataset.train_size": 500, "optimizer.rho": 0.1},
    }


def test_describe_is_flat_and_complete():
    config = trial(model={"name": "cnn-tiny", "kwargs": {"width": 3}})
    described = config.describe()
    assert described["learning_rate"] == 0.1
    assert described["optimizer.name"] == "sam"
    assert described["model.kwargs.width"] == 3
    assert described["ood.severities"] == [1, 2, 3, 4, 5]
    assert not [name for name, value in described.items() if isinstance(value, dict) and value]


def test_label_falls_back_to_the_name():
    assert trial().optimizer_label == "sam"
    assert trial(optimizers=[{"name": "sam", "label": "mine"}]).optimizer_label == "mine"
