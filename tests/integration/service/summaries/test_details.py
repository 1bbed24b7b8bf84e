from datetime import UTC, datetime
from typing import Any

import pytest

from service.execution.mlflow_gateway import MlflowGateway, MlflowUnavailableError
from service.storage import SweepRow
from service.summaries.answers import Answers, View
from service.summaries.details import TrialDetails
from service.summaries.publishing import Publisher
from service.summaries.table import History
from service.sweeps.service import require_sweep
from service.trials.repository import TrialRepository

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def sweep(detailed: Any) -> SweepRow:
    with detailed.database.snapshot() as session:
        return require_sweep(session, detailed.sweep_id)


@pytest.fixture
def keys(detailed: Any) -> list[str]:
    with detailed.database.snapshot() as session:
        return [row.key for row in TrialRepository(session).of_sweep(detailed.sweep_id)]


def test_load_history_is_fetched_once_and_stored(
    detailed: Any, sweep: SweepRow, keys: list[str]
) -> None:
    found = TrialDetails(detailed.database, MlflowGateway(detailed.uri)).load(
        sweep, keys, "history"
    )
    assert set(found) == set(keys)
    assert found[keys[0]].gradient_evaluations == [300, 600, 900]
    assert found[keys[0]].train_loss == [2.0, 1.5, 1.0]
    assert found[keys[-1]] == History([], [], [], [])  # diverged in its first epoch
    stored = TrialDetails(detailed.database, MlflowGateway(NOWHERE)).load(sweep, keys, "history")
    assert stored == found


def test_load_parts_stand_beside_each_other(
    detailed: Any, sweep: SweepRow, keys: list[str]
) -> None:
    details = TrialDetails(detailed.database, MlflowGateway(detailed.uri))
    details.load(sweep, keys[:1], "history")
    severities = details.load(sweep, [keys[0], keys[-1]], "ood_by_severity")
    assert severities == {keys[0]: {"fog": {1: 0.8, 5: 0.6}, "snow": {1: 0.7, 5: 0.5}}}
    with detailed.database.snapshot() as session:
        stored = TrialRepository(session).details(detailed.sweep_id)
    assert set(stored[keys[0]]) == {"history", "ood_by_severity"}
    assert stored[keys[-1]]["ood_by_severity"] is None  # there is none: not asked for again


def test_forget_unsuccessful_forgets_details(detailed: Any, make_sweep: Any) -> None:
    sweep_id = make_sweep("forgetful", outcome="failed")
    with detailed.database.transaction() as session:
        trials = TrialRepository(session)
        key = trials.of_sweep(sweep_id)[0].key
        trials.record(sweep_id, key, {"details": {"history": {}}})
        assert set(trials.details(sweep_id)) == {key}
        trials.forget_unsuccessful(sweep_id)
        assert trials.details(sweep_id) == {}


def test_answers_without_mlflow_answer_what_needs_none(detailed: Any, make_sweep: Any) -> None:
    sweep_id = make_sweep("alone", run_id="gone")
    answers = Answers(detailed.database, MlflowGateway(NOWHERE))
    assert answers.summary(sweep_id).content.startswith(b"{")
    with pytest.raises(MlflowUnavailableError):
        answers.summary(sweep_id, View(gradient_evaluations="equal"))
    with pytest.raises(MlflowUnavailableError):
        answers.figure(sweep_id, "learning-curves")


def test_publisher_hands_everything_to_mlflow(detailed: Any) -> None:
    results = MlflowGateway(detailed.uri)
    publisher = Publisher(Answers(detailed.database, results), results)
    publisher.start(detailed.sweep_id, detailed.run_id).join(120)
    top = {artifact.path for artifact in detailed.mlflow.list_artifacts(detailed.run_id)}
    assert {"summary.json", "summary.csv", "summary.tex", "report.html", "figures"} <= top
    pictures = {a.path for a in detailed.mlflow.list_artifacts(detailed.run_id, "figures")}
    assert {"figures/best.svg", "figures/best.png", "figures/learning-curves.svg"} <= pictures
    assert "figures/trace-heatmap.svg" not in pictures  # no curvature was measured


def test_publisher_makes_up_for_what_a_death_prevented_once(
    detailed: Any, make_sweep: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run_id = detailed.mlflow.create_run("0").info.run_id
    sweep_id = make_sweep("unpublished", run_id=run_id)
    with detailed.database.transaction() as session:
        stored = require_sweep(session, sweep_id)
        stored.mlflow_run_id, stored.ended_at = run_id, datetime.now(UTC)
    results = MlflowGateway(detailed.uri)
    publisher = Publisher(Answers(detailed.database, results), results)
    publisher.resume(detailed.database).join(120)
    names = {artifact.path for artifact in detailed.mlflow.list_artifacts(run_id)}
    assert {"summary.json", "report.html"} <= names
    assert "has no figure" in caplog.text
    caplog.clear()
    publisher.resume(detailed.database).join(120)
    assert "has no figure" not in caplog.text  # nothing was drawn again


def test_publisher_without_mlflow_says_so_in_a_line(
    detailed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answers = Answers(detailed.database, MlflowGateway(detailed.uri))
    publisher = Publisher(answers, MlflowGateway(NOWHERE))
    publisher.start(detailed.sweep_id, 32 * "f").join(120)
    assert f"the figures of sweep {detailed.sweep_id} wait for the next start" in caplog.text
    assert "Traceback" not in caplog.text


def test_publisher_of_a_sweep_without_results_says_so(
    detailed: Any, make_sweep: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sweep_id = make_sweep("empty", outcome=None)
    publisher = Publisher(
        Answers(detailed.database, MlflowGateway(NOWHERE)), MlflowGateway(NOWHERE)
    )
    publisher.start(sweep_id, "run").join(60)
    assert "has nothing to publish" in caplog.text
