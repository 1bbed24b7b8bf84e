"""Answers questions about the tuning sensitivity of stored sweeps, each worked out once.

A sweep's *version* is how its trials ended: the time of the newest one and how many there are of
each outcome. The same question about the same version has the same answer, so answers are kept in
memory; a version that is no longer asked for is dropped in time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.execution.mlflow_gateway import MlflowGateway, MlflowUnavailableError
from service.storage import Database, SweepRow
from service.summaries.cache import Cache
from service.summaries.compared import SweepComparison, SweepToCompare, compare_sweeps
from service.summaries.details import TrialDetails
from service.summaries.errors import InvalidOptionError, UnknownNameError
from service.summaries.figures import (
    MEDIA_TYPES,
    compute_comparison_figure,
    compute_figure,
    export_figure,
    rasterize,
)
from service.summaries.figures.theme import theme_of
from service.summaries.report import html_report
from service.summaries.scoring import score
from service.summaries.summary import EPSILON, Budget, summarize
from service.summaries.table import TrialTable
from service.summaries.tables import comparison_csv, summary_csv, summary_latex
from service.summaries.trials import trial_table
from service.sweeps.service import require_sweep
from service.trials.repository import TrialRepository

__all__ = ["COMPARISON_FORMATS", "MAX_COMPARED", "SUMMARY_FORMATS", "Answer", "Answers", "View"]

SUMMARY_FORMATS = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "latex": "application/x-latex; charset=utf-8",
}
COMPARISON_FORMATS = {name: SUMMARY_FORMATS[name] for name in ("json", "csv")}
MAX_COMPARED = 20

# Figures that show more than the latest metrics, at the selected configurations.
_NEEDS_HISTORY = "learning-curves"
_NEEDS_SEVERITIES = "corruptions"

_TABLES_LIMIT_TRIALS = 50_000
_ANSWERS_LIMIT_BYTES = 64 * 2**20
_CODE_VERSION_TAG = "mlflow.source.git.commit"


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes to send.

    Attributes:
        content: The body.
        media_type: What it is.
    """

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class View:
    """Which part of a sweep a question is about.

    Attributes:
        optimizers: Labels; all where empty.
        gradient_evaluations: Budget to cut every trial at; None cuts nothing.
    """

    optimizers: tuple[str, ...] = ()
    gradient_evaluations: Budget | None = None


class Answers:
    """Summaries, figures, reports and comparisons of stored sweeps.

    Args:
        database: The sweeps.
        results: MLflow, for what is not in the database.
    """

    def __init__(self, database: Database, results: MlflowGateway) -> None:
        self._database = database
        self._results = results
        self._details = TrialDetails(database, results)
        self._tables = Cache[TrialTable](_TABLES_LIMIT_TRIALS, lambda table: table.planned_trials)
        self._answers = Cache[Answer](_ANSWERS_LIMIT_BYTES, lambda answer: len(answer.content))
        self._code_versions = Cache[str | None](1_000, lambda _: 1)

    def summary(
        self,
        sweep_id: str,
        view: View = View(),
        *,
        target: float | None = None,
        epsilon: float = EPSILON,
        file_format: str = "json",
    ) -> Answer:
        """The summary of a sweep as json, csv or latex.

        Raises:
            NotFoundProblem: There is no such sweep.
            SummaryError: It cannot be answered.
            MlflowUnavailableError: It needs learning curves, and MLflow does not answer.
        """
        _require_format(file_format, SUMMARY_FORMATS)

        def compute() -> Answer:
            found = summarize(
                self._table(stored, view),
                target=target,
                epsilon=epsilon,
                gradient_evaluations=view.gradient_evaluations,
            )
            match file_format:
                case "csv":
                    content = summary_csv(found)
                case "latex":
                    content = summary_latex(found).encode()
                case _:
                    content = found.model_dump_json().encode()
            return Answer(content, SUMMARY_FORMATS[file_format])

        stored = self._stored(sweep_id)
        question = ("summary", view, target, epsilon, file_format)
        return self._answers.get((stored.key, question), compute)

    def figure(
        self,
        sweep_id: str,
        name: str,
        view: View = View(),
        *,
        file_format: str = "json",
        theme: str = "light",
        options: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """A figure of a sweep as json, csv, vega-lite, svg or png.

        Raises:
            NotFoundProblem: There is no such sweep.
            SummaryError: It cannot be answered.
            MlflowUnavailableError: It needs what only MLflow has, and that does not answer.
        """
        _require_format(file_format, MEDIA_TYPES)
        theme_of(theme)
        given = {option: value for option, value in (options or {}).items() if value is not None}

        def compute() -> Answer:
            if file_format == "png":  # most of the work is the svg's
                svg = self.figure(
                    sweep_id, name, view, file_format="svg", theme=theme, options=given
                )
                return Answer(rasterize(svg.content), MEDIA_TYPES["png"])
            figure = compute_figure(
                name,
                self._table(stored, view, name),
                gradient_evaluations=view.gradient_evaluations,
                **given,
            )
            content = export_figure(figure, file_format, theme=theme)
            return Answer(content, MEDIA_TYPES[file_format])

        stored = self._stored(sweep_id)
        question = ("figure", name, view, file_format, theme, tuple(sorted(given.items())))
        return self._answers.get((stored.key, question), compute)

    def report(
        self,
        sweep_id: str,
        view: View = View(),
        *,
        theme: str = "light",
    ) -> Answer:
        """Everything about a sweep as one HTML page.

        Raises:
            NotFoundProblem: There is no such sweep.
            SummaryError: It cannot be answered.
            MlflowUnavailableError: MLflow does not answer.
        """
        theme_of(theme)

        def compute() -> Answer:
            table = self._table(stored, view, _NEEDS_HISTORY, _NEEDS_SEVERITIES)
            page = html_report(
                table,
                theme=theme,
                gradient_evaluations=view.gradient_evaluations,
                draw_svg=lambda figure: (
                    self.figure(sweep_id, figure.name, view, file_format="svg", theme=theme).content
                ),
            )
            return Answer(page.encode(), "text/html; charset=utf-8")

        stored = self._stored(sweep_id)
        return self._answers.get((stored.key, ("report", view, theme)), compute)

    def compare(
        self, sweep_ids: Sequence[str], *, epsilon: float = EPSILON, file_format: str = "json"
    ) -> Answer:
        """Sweeps side by side as json or csv.

        Raises:
            NotFoundProblem: There is no such sweep.
            SummaryError: It cannot be answered.
        """
        _require_format(file_format, COMPARISON_FORMATS)

        def compute() -> Answer:
            found = self._compare(stored, epsilon)
            as_json = file_format == "json"
            content = found.model_dump_json().encode() if as_json else comparison_csv(found)
            return Answer(content, COMPARISON_FORMATS[file_format])

        stored = self._all_stored(sweep_ids)
        key = tuple((one.key, self._code_version(one.sweep)) for one in stored)
        return self._answers.get((key, ("compare", epsilon, file_format)), compute)

    def comparison_figure(
        self,
        sweep_ids: Sequence[str],
        name: str,
        *,
        epsilon: float = EPSILON,
        file_format: str = "json",
        theme: str = "light",
    ) -> Answer:
        """A figure of several sweeps as json, csv, vega-lite, svg or png.

        Raises:
            NotFoundProblem: There is no such sweep.
            SummaryError: It cannot be answered.
        """
        _require_format(file_format, MEDIA_TYPES)
        theme_of(theme)

        def compute() -> Answer:
            figure = compute_comparison_figure(name, self._compare(stored, epsilon))
            content = export_figure(figure, file_format, theme=theme)
            return Answer(content, MEDIA_TYPES[file_format])

        stored = self._all_stored(sweep_ids)
        key = tuple(one.key for one in stored)
        return self._answers.get((key, ("figure", name, epsilon, file_format, theme)), compute)

    def _compare(self, stored: Iterable[_Stored], epsilon: float) -> SweepComparison:
        return compare_sweeps(
            [
                SweepToCompare(
                    one.sweep.sweep_id,
                    one.sweep.name,
                    one.sweep.specification,
                    self._code_version(one.sweep),
                    self._table(one, View()),
                )
                for one in stored
            ],
            epsilon=epsilon,
        )

    def _stored(self, sweep_id: str) -> _Stored:
        """A sweep and its version."""
        with self._database.snapshot() as session:
            sweep = require_sweep(session, sweep_id)
            outcomes = TrialRepository(session).outcomes(sweep_id)
        return _Stored(sweep, (sweep_id, sweep.synced_at, sweep.classes, outcomes))

    def _all_stored(self, sweep_ids: Sequence[str]) -> list[_Stored]:
        """Several sweeps and their versions."""
        if len(sweep_ids) > MAX_COMPARED:
            raise InvalidOptionError(
                "too_many_sweeps",
                f"{len(sweep_ids)} sweeps are too many to compare.",
                (f"at most {MAX_COMPARED}",),
            )
        return [self._stored(sweep_id) for sweep_id in sweep_ids]

    def _table(self, stored: _Stored, view: View, *figures: str) -> TrialTable:
        """The trials a question is about, with what the named figures and the budget need."""
        table = self._tables.get(stored.key, lambda: self._read(stored.sweep))
        table = table.only(view.optimizers) if view.optimizers else table
        if view.gradient_evaluations is not None:
            keys = [row.key for row in table.rows()]
            histories = self._details.load(stored.sweep, keys, "history")
            return table.with_details(histories, {})
        wanted = {_NEEDS_HISTORY, _NEEDS_SEVERITIES} & set(figures)
        if not wanted:
            return table
        keys = [
            row.key
            for scores in score(table, resample=False)
            for row in scores.trials.rows[scores.selected]
            if row is not None
        ]
        return table.with_details(
            self._details.load(stored.sweep, keys, "history") if _NEEDS_HISTORY in wanted else {},
            self._details.load(stored.sweep, keys, "ood_by_severity")
            if _NEEDS_SEVERITIES in wanted
            else {},
        )

    def _read(self, sweep: SweepRow) -> TrialTable:
        """The table of a sweep's trials."""
        with self._database.snapshot() as session:
            return trial_table(sweep, TrialRepository(session).of_sweep(sweep.sweep_id))

    def _code_version(self, sweep: SweepRow) -> str | None:
        """Commit of the code that ran a sweep; None while MLflow does not say."""
        run_id = sweep.mlflow_run_id
        if run_id is None:
            return None
        try:
            return self._code_versions.get(
                run_id, lambda: self._results.run_tag(run_id, _CODE_VERSION_TAG)
            )
        except MlflowUnavailableError:
            return None


@dataclass(frozen=True, slots=True)
class _Stored:
    """A sweep as it was read, and the key of its version."""

    sweep: SweepRow
    key: Hashable


def _require_format(got: str, allowed: Iterable[str]) -> None:
    """Refuse an unknown format before anything is computed."""
    if got not in allowed:
        raise UnknownNameError("format", got, allowed)
