from datetime import UTC, datetime
from typing import Any

import pytest

from service.external.mlflow_gateway import MlflowGateway, MlflowUnavailableError
from service.sensitivity.trial_result import History
from service.storage import SweepRow
from service.summaries.curve_store import CurveStore
from service.summaries.publishing import Publisher
from service.summaries.service import Selection, SummaryService
from service.sweeps.service import require_sweep
from service.trials.repository import TrialRepository

NOWHERE = "http://127.0.0.1:9"
PAGE = "http://sweeps.test/sweeps/{}"


@pytest.fixture
def sweep(detailed: Any) -> SweepRow:
    with detailed.database.snapshot() as session:
        return require_sweep(session, detailed.sweep_id)


@pytest.fixture
def keys(detailed: Any) -> list[str]:
    with detailed.database.snapshot() as session:
        return [row.key for row in TrialRepository(session).of_sweep(detailed.sweep_id)]


def test_histories_are_fetched_once_and_stored(
    detailed: Any, sweep: SweepRow, keys: list[str]
) -> None:
    found = CurveStore(detailed.database, MlflowGateway(detailed.uri)).histories(sweep, keys)
    assert set(found) == set(keys)
    assert found[keys[0]].gradient_evaluations == [300, 600, 900]
    assert found[keys[0]].train_loss == [2.0, 1.5, 1.0]
    assert found[keys[-1]] == History([], [], [], [], [])  # diverged in its first epoch
    stored = CurveStore(detailed.database, MlflowGateway(NOWHERE)).histories(sweep, keys)
    assert stored == found


def test_severities_are_stored_next_to_histories(
    detailed: Any, sweep: SweepRow, keys: list[str]
) -> None:
    curves = CurveStore(detailed.database, MlflowGateway(detailed.uri))
    curves.histories(sweep, keys[:1])
    severities = curves.severities(sweep, [keys[0], keys[-1]])
    assert severities == {keys[0]: {"fog": {1: 0.8, 5: 0.6}, "snow": {1: 0.7, 5: 0.5}}}
    with detailed.database.snapshot() as session:
        stored = TrialRepository(session).details(detailed.sweep_id)
    assert set(stored[keys[0]]) == {"history", "ood_by_severity"}
    assert stored[keys[-1]]["ood_by_severity"] is None  # there is none: not fetched again


def test_reset_unsuccessful_deletes_details(detailed: Any, make_sweep: Any) -> None:
    sweep_id = make_sweep("forgetful", outcome="failed")
    with detailed.database.transaction() as session:
        trials = TrialRepository(session)
        key = trials.of_sweep(sweep_id)[0].key
        trials.record(sweep_id, key, {"details": {"history": {}}})
        assert set(trials.details(sweep_id)) == {key}
        trials.reset_unsuccessful(sweep_id)
        assert trials.details(sweep_id) == {}


def test_summary_service_without_mlflow_serves_requests_that_need_none(
    detailed: Any, make_sweep: Any
) -> None:
    sweep_id = make_sweep("alone", run_id="gone")
    summaries = SummaryService(detailed.database, MlflowGateway(NOWHERE))
    assert summaries.summary(sweep_id).optimizers
    with pytest.raises(MlflowUnavailableError):
        summaries.summary(sweep_id, Selection(gradient_evaluations="equal"))
    with pytest.raises(MlflowUnavailableError):
        summaries.figure(sweep_id, "learning-curves")


def test_publisher_stores_all_artifacts_in_mlflow(detailed: Any) -> None:
    results = MlflowGateway(detailed.uri)
    publisher = Publisher(SummaryService(detailed.database, results), results, PAGE.format)
    publisher.start(detailed.sweep_id, detailed.run_id).join(120)
    top = {artifact.path for artifact in detailed.mlflow.list_artifacts(detailed.run_id)}
    assert {"summary.json", "summary.csv", "summary.tex", "report.html", "figures"} <= top
    pictures = {a.path for a in detailed.mlflow.list_artifacts(detailed.run_id, "figures")}
    assert {"figures/best.svg", "figures/best.png", "figures/learning-curves.svg"} <= pictures
    assert "figures/trace-heatmap.svg" not in pictures  # no curvature was measured
    run = detailed.mlflow.get_run(detailed.run_id)
    summary = SummaryService(detailed.database, results).summary(detailed.sweep_id)
    for optimizer in summary.optimizers:
        name = f"summary.{optimizer.optimizer}.val_accuracy"
        assert run.data.metrics[name] == optimizer.best_config.val_accuracy
        assert optimizer.sentence in run.data.tags["mlflow.note.content"]
    assert PAGE.format(detailed.sweep_id) in run.data.tags["mlflow.note.content"]


def test_publisher_resumes_what_a_crash_interrupted_once(
    detailed: Any, make_sweep: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run_id = detailed.mlflow.create_run("0").info.run_id
    sweep_id = make_sweep("unpublished", run_id=run_id)
    with detailed.database.transaction() as session:
        stored = require_sweep(session, sweep_id)
        stored.mlflow_run_id, stored.ended_at = run_id, datetime.now(UTC)
    results = MlflowGateway(detailed.uri)
    publisher = Publisher(SummaryService(detailed.database, results), results, PAGE.format)
    publisher.resume(detailed.database).join(120)
    names = {artifact.path for artifact in detailed.mlflow.list_artifacts(run_id)}
    assert {"summary.json", "report.html"} <= names
    assert "has no figure" in caplog.text
    caplog.clear()
    publisher.resume(detailed.database).join(120)
    assert "has no figure" not in caplog.text  # nothing was drawn again


def test_publisher_without_mlflow_logs_one_line(
    detailed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    summaries = SummaryService(detailed.database, MlflowGateway(detailed.uri))
    publisher = Publisher(summaries, MlflowGateway(NOWHERE), PAGE.format)
    publisher.start(detailed.sweep_id, 32 * "f").join(120)
    assert f"the figures of sweep {detailed.sweep_id} wait for the next start" in caplog.text
    assert "Traceback" not in caplog.text


def test_publisher_of_a_sweep_without_results_logs_so(
    detailed: Any, make_sweep: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sweep_id = make_sweep("empty", outcome=None)
    publisher = Publisher(
        SummaryService(detailed.database, MlflowGateway(NOWHERE)),
        MlflowGateway(NOWHERE),
        PAGE.format,
    )
    publisher.start(sweep_id, "run").join(60)
    assert "has nothing to publish" in caplog.text


@pytest.fixture
def run_ids(detailed: Any) -> list[str]:
    with detailed.database.snapshot() as session:
        rows = TrialRepository(session).of_sweep(detailed.sweep_id)
        return [str(row.mlflow_run_id) for row in rows]


def test_histories_of_many_runs_take_one_request_and_equal_those_of_each(
    detailed: Any, run_ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = MlflowGateway(detailed.uri)
    each = {run_id: gateway.history(run_id, "train_loss") for run_id in run_ids}
    assert sum(map(bool, each.values())) > 1

    def refuse(run_id: str, metric: str) -> list[tuple[int, float]]:
        raise AssertionError(f"{run_id} was read alone")

    monkeypatch.setattr(gateway, "history", refuse)
    assert gateway.histories(run_ids, "train_loss") == each
    assert gateway.histories(run_ids, "no such metric") == {run_id: [] for run_id in run_ids}


def test_histories_that_an_answer_cuts_off_are_read_in_parts(
    detailed: Any, run_ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = MlflowGateway(detailed.uri)
    whole = gateway.histories(run_ids, "train_loss")
    monkeypatch.setattr("service.external.mlflow_gateway._POINTS_PER_ANSWER", 4)
    assert gateway.histories(run_ids, "train_loss") == whole


def test_histories_of_a_server_without_the_request_are_read_one_by_one(
    detailed: Any, run_ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = MlflowGateway(detailed.uri)
    whole = gateway.histories(run_ids, "train_loss")
    monkeypatch.setattr("service.external.mlflow_gateway._BULK_HISTORY", "/no/such/page")
    assert gateway.histories(run_ids, "train_loss") == whole
