"""Publishing: the MLflow run of an ended sweep gets its summary, figures and description."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Lock, Thread

from service.external.mlflow_gateway import MlflowGateway, MlflowUnavailableError
from service.sensitivity import FIGURES, NotAvailableError, SweepSummary, export_summary
from service.sensitivity.figures import PICTURE_FORMATS
from service.storage import DATABASE_UNAVAILABLE, Database
from service.summaries.service import SummaryService
from service.sweeps.repository import SweepRepository
from service.unavailable import full_message
from workers.mlflow_schema import Tag
from workers.scores import SCORES

__all__ = ["Publisher"]

log = logging.getLogger(__name__)

_RECENTLY = timedelta(days=1)
_SUMMARIES = {"summary.json": "json", "summary.csv": "csv", "summary.tex": "latex"}
_NEEDS_METRIC = "heatmap"  # the other heatmaps show its metrics


class Publisher:
    """Draws the figures of ended sweeps in a thread and stores them in MLflow.

    Args:
        summaries: Computes summaries and figures.
        results: MLflow.
        page_url: The address of the page of a sweep.
    """

    def __init__(
        self, summaries: SummaryService, results: MlflowGateway, page_url: Callable[[str], str]
    ) -> None:
        self._page_url = page_url
        self._summaries = summaries
        self._results = results
        self._lock = Lock()

    def start(self, sweep_id: str, run_id: str | None) -> Thread:
        """Publish an ended sweep in the background; a failure is only logged.

        Args:
            sweep_id: The sweep.
            run_id: Its MLflow run; None if it never had one.

        Returns:
            The publishing thread.
        """
        name = f"publish-{sweep_id}"
        thread = Thread(target=self._publish, args=(sweep_id, run_id), name=name, daemon=True)
        thread.start()
        return thread

    def resume(self, database: Database) -> Thread:
        """Publish recently ended sweeps that a restart left unpublished.

        Returns:
            The publishing thread.
        """
        thread = Thread(target=self._resume, args=(database,), name="publish", daemon=True)
        thread.start()
        return thread

    def files(self, sweep_id: str) -> Iterator[tuple[str, bytes]]:
        """Name and content of the summaries, the available figures and the report.

        Raises:
            NotAvailableError: No trial has finished.
        """
        for name, file_format in _SUMMARIES.items():
            yield name, export_summary(self._summaries.summary(sweep_id), file_format)
        for figure in FIGURES:
            if figure == _NEEDS_METRIC:
                continue
            try:
                for picture in PICTURE_FORMATS:
                    content = self._summaries.figure_file(sweep_id, figure, file_format=picture)
                    yield f"figures/{figure}.{picture}", content
            except NotAvailableError as error:
                log.info("sweep %s has no figure %s: %s", sweep_id, figure, error)
        yield "report.html", self._summaries.report(sweep_id)

    def _resume(self, database: Database) -> None:
        """Publish the recently ended sweeps without the tag that marks published ones."""
        with database.snapshot() as session:
            ended = SweepRepository(session).ended_since(datetime.now(UTC) - _RECENTLY)
            runs = {row.sweep_id: row.mlflow_run_id for row in ended if row.mlflow_run_id}
        for sweep_id, run_id in runs.items():
            try:
                is_published = self._results.run_tag(run_id, Tag.PUBLISHED) is not None
            except MlflowUnavailableError as error:
                reason = full_message(error)
                log.warning("whether sweep %s is published is unknown: %s", sweep_id, reason)
                continue
            if not is_published:
                self._publish(sweep_id, run_id)

    def _publish(self, sweep_id: str, run_id: str | None) -> None:
        """Publish one sweep; several are published one after the other."""
        if run_id is None:
            return
        with self._lock:
            try:
                self._results.log_files(run_id, dict(self.files(sweep_id)))
                summary = self._summaries.summary(sweep_id)
                description = _description(summary, self._page_url(sweep_id))
                self._results.describe_run(run_id, dict(_metrics(summary)), description)
                self._results.tag_run(run_id, Tag.PUBLISHED, "true")
            except NotAvailableError as error:
                log.info("sweep %s has nothing to publish: %s", sweep_id, error)
            except (MlflowUnavailableError, *DATABASE_UNAVAILABLE) as error:
                reason = full_message(error)
                log.warning("the figures of sweep %s wait for the next start: %s", sweep_id, reason)
            except Exception:
                log.exception("the figures of sweep %s are not in MLflow", sweep_id)


def _metrics(summary: SweepSummary) -> Iterator[tuple[str, float]]:
    """The main numbers of each optimizer, as metrics of the sweep's run."""
    score = SCORES[summary.score]
    for optimizer in summary.optimizers:
        best = optimizer.best_config
        values = {
            score.val_metric: best.val_score,
            score.ood_metric: best.ood_score,
            "mean_regret": optimizer.mean_regret,
            "lr_sensitivity": optimizer.lr_sensitivity,
            "wd_sensitivity": optimizer.wd_sensitivity,
            "divergence_rate": optimizer.divergence_rate,
        }
        label = re.sub(r"[^\w. -]", "_", optimizer.optimizer)
        for name, value in values.items():
            if value is not None:
                yield f"summary.{label}.{name}", value


def _description(summary: SweepSummary, page: str) -> str:
    """What the sweep found, in Markdown, with a link to its page."""
    lines = [f"- {optimizer.sentence}" for optimizer in summary.optimizers]
    head = f"Sweep on {summary.workload}: {summary.finished_trials} of {summary.planned_trials}"
    return "\n".join([f"{head} trials finished. [Page of the sweep]({page})", "", *lines])
