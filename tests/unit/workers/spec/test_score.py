"""What ranks the configurations of a sweep, and what follows from it."""

from __future__ import annotations

import pytest

from workers.scores import SCORES
from workers.spec import SpecError, read_stored, stored_score, validate_spec


def spec_of(**changes):
    return validate_spec(
        {
            "name": "small",
            "dataset": "digits",
            "model": "cnn-tiny",
            "optimizers": ["sam"],
            "search": {"learning_rate": [0.1], "weight_decay": [0]},
        }
        | changes
    )


def test_score_of_images_is_accuracy_and_is_not_stored():
    spec = spec_of()
    assert spec.scored_by is SCORES["accuracy"]
    assert "score" not in spec.model_dump()
    assert stored_score(spec.model_dump(mode="json")) is SCORES["accuracy"]


def test_score_survives_a_round_trip():
    spec = spec_of(score="loss")
    again = read_stored(spec.model_dump(mode="json"))
    assert again == spec
    assert stored_score(spec.model_dump(mode="json")) is again.scored_by is SCORES["loss"]


def test_score_unknown_is_refused():
    with pytest.raises(SpecError, match="score: must be 'accuracy' or 'loss'"):
        spec_of(score="f1")


@pytest.mark.parametrize(("score", "metric"), [("accuracy", "val_accuracy"), ("loss", "val_loss")])
def test_score_guides_a_search_and_early_stopping(score, metric):
    spec = spec_of(
        score=score,
        search={"type": "tpe", "trials": 3},
        early_stopping={"type": "asha"},
    )
    assert [objective.metric for objective in spec.search.objectives] == [metric]
    assert spec.search.objectives[0].direction == SCORES[score].direction
    assert spec.early_stopping.metric == metric
    assert spec.early_stopping.direction == SCORES[score].direction


def test_score_leaves_given_metrics_alone():
    spec = spec_of(
        score="loss",
        search={"type": "tpe", "trials": 3, "objectives": ["val_accuracy"]},
        early_stopping={"metric": "train_loss"},
    )
    assert spec.search.objectives[0].metric == "val_accuracy"
    assert spec.early_stopping.metric == "train_loss"


def test_score_changes_no_key_unless_it_selects_the_best_epoch():
    (plain,) = spec_of().trials
    (loss,) = spec_of(score="loss").trials
    (named,) = spec_of(score="accuracy").trials
    assert plain.key == loss.key == named.key
    best = {"at_best": True}
    (plain,) = spec_of(curvature=best).trials
    (loss,) = spec_of(curvature=best, score="loss").trials
    (named,) = spec_of(curvature=best, score="accuracy").trials
    assert plain.key == named.key != loss.key
    assert loss.scored_by is SCORES["loss"]
