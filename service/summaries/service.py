"""Summaries, figures, reports and comparisons of stored sweeps, each computed once per version.

The *version* of a sweep is the state of its trials: the time of the latest sync and the numbers of
planned trials and of trials of each outcome. The same request for the same version has the same
result, so results are cached in memory; those of outdated versions leave the caches as the least
recently used.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from service.external.mlflow_gateway import MlflowGateway, MlflowUnavailableError
from service.sensitivity import (
    FigureData,
    InvalidOptionError,
    SweepComparison,
    SweepSummary,
    SweepToCompare,
    TrialTable,
    compare_sweeps,
    compute_comparison_figure,
    compute_figure,
    export_figure,
    html_report,
    summarize,
)
from service.sensitivity.export import require_format
from service.sensitivity.figures import DRAWN_FORMATS, MEDIA_TYPES, rasterize, theme_of
from service.sensitivity.scores import score
from service.sensitivity.sweep_summary import Budget
from service.storage import Database, SweepRow
from service.summaries.best_configuration import BEST_FORMATS, best_configuration_text
from service.summaries.cache import Cache
from service.summaries.curve_store import CurveStore
from service.summaries.loading import trial_table
from service.summaries.next_cells import next_cells_specification
from service.sweeps.service import require_sweep
from service.trials.repository import TrialRepository
from workers.spec import read_stored

__all__ = ["MAX_COMPARED", "FigureOptions", "Selection", "SummaryService"]

MAX_COMPARED = 20

FigureOptions = Mapping[str, str | Sequence[str] | None]
"""Options of a figure by name: None and an empty list are the default."""
Option = str | tuple[str, ...]

# Figures of the selected configurations that need more than the latest metrics.
_NEEDS_HISTORY = "learning-curves"
_NEEDS_SEVERITIES = "corruptions"

_TABLES_LIMIT_TRIALS = 50_000
_SUMMARIES_LIMIT_OPTIMIZERS = 1_000  # some 30 kB each
_FIGURES_LIMIT_RECORDS = 50_000  # some 1 kB each
_DRAWINGS_LIMIT_BYTES = 64 * 2**20
_CODE_VERSION_TAG = "mlflow.source.git.commit"


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of a sweep that a summary or figure is about.

    Attributes:
        optimizers: Labels; all where empty.
        gradient_evaluations: Budget to cut every trial at; None for whole trials.
    """

    optimizers: tuple[str, ...] = ()
    gradient_evaluations: Budget | None = None


class SummaryService:
    """Summaries, figures, reports and comparisons of stored sweeps.

    Args:
        database: The sweeps.
        results: MLflow, for learning curves, accuracies by severity and code versions.
    """

    def __init__(self, database: Database, results: MlflowGateway) -> None:
        self._database = database
        self._results = results
        self._curves = CurveStore(database, results)
        self._tables = Cache[TrialTable](_TABLES_LIMIT_TRIALS, lambda table: table.planned_trials)
        self._summaries = Cache[SweepSummary](
            _SUMMARIES_LIMIT_OPTIMIZERS, lambda summary: len(summary.optimizers)
        )
        self._comparisons = Cache[SweepComparison](
            _SUMMARIES_LIMIT_OPTIMIZERS, lambda comparison: len(comparison.headlines)
        )
        self._figures = Cache[FigureData](
            _FIGURES_LIMIT_RECORDS, lambda figure: len(figure.records)
        )
        self._drawings = Cache[bytes](_DRAWINGS_LIMIT_BYTES, len)
        self._code_versions = Cache[str | None](1_000, lambda _: 1)

    def summary(
        self,
        sweep_id: str,
        selection: Selection = Selection(),
        *,
        target: float | None = None,
        epsilon: float | None = None,
    ) -> SweepSummary:
        """The summary of a sweep.

        Raises:
            NotFoundProblem: There is no such sweep.
            SummaryError: The trials have no such summary (yet).
            MlflowUnavailableError: It needs learning curves, and MLflow does not answer.
        """
        stored = self._stored(sweep_id)
        return self._summaries.get(
            (stored.version, selection, target, epsilon),
            lambda: summarize(
                self._table(stored, selection),
                target=target,
                epsilon=epsilon,
                gradient_evaluations=selection.gradient_evaluations,
            ),
        )

    def next_cells(self, sweep_id: str, selection: Selection = Selection()) -> str:
        """A specification of the neighbours of the best configurations that were not measured.

        Raises:
            NotFoundProblem: There is no such sweep.
            SummaryError: Every neighbour was measured, or the search is not a grid.
            MlflowUnavailableError: It needs learning curves, and MLflow does not answer.
        """
        specification = read_stored(self._stored(sweep_id).sweep.specification)
        return next_cells_specification(specification, self.summary(sweep_id, selection))

    def best_configuration(
        self,
        sweep_id: str,
        file_format: str,
        selection: Selection = Selection(),
    ) -> str:
        """The best configuration of the selected optimizers as a specification or as code.

        Args:
            sweep_id: The sweep.
            file_format: One of ``BEST_FORMATS``.
            selection: The part of the sweep that counts.

        Raises:
            NotFoundProblem: There is no such sweep.
            SummaryError: There is no such optimizer or format, or no trial has a result (yet).
            MlflowUnavailableError: It needs learning curves, and MLflow does not answer.
        """
        require_format(file_format, BEST_FORMATS)
        specification = read_stored(self._stored(sweep_id).sweep.specification)
        summary = self.summary(sweep_id, selection)
        return best_configuration_text(specification, summary, file_format)

    def figure(
        self,
        sweep_id: str,
        name: str,
        selection: Selection = Selection(),
        options: FigureOptions | None = None,
    ) -> FigureData:
        """The data of a figure of a sweep.

        Raises:
            NotFoundProblem: There is no such sweep.
            SummaryError: There is no such figure, or the trials cannot show it (yet).
            MlflowUnavailableError: It needs data from MLflow, and MLflow does not answer.
        """
        return self._figure(self._stored(sweep_id), name, selection, _given(options))

    def figure_file(
        self,
        sweep_id: str,
        name: str,
        selection: Selection = Selection(),
        options: FigureOptions | None = None,
        *,
        file_format: str = "json",
        theme: str = "light",
    ) -> bytes:
        """A figure of a sweep as json, csv, vega-lite, svg or png.

        Raises:
            NotFoundProblem: There is no such sweep.
            SummaryError: There is no such figure, format or theme, or the trials cannot show it.
            MlflowUnavailableError: It needs data from MLflow, and MLflow does not answer.
        """
        require_format(file_format, MEDIA_TYPES)
        theme_of(theme)
        given = _given(options)
        stored = self._stored(sweep_id)

        def export(file_format: str) -> bytes:
            figure = self._figure(stored, name, selection, given)
            return export_figure(figure, file_format, theme=theme)

        if file_format not in DRAWN_FORMATS:
            return export(file_format)

        def drawn(file_format: str) -> bytes:
            key = (stored.version, name, selection, tuple(given.items()), theme, file_format)
            if file_format == "png":  # most of the work is that of the svg
                return self._drawings.get(key, lambda: rasterize(drawn("svg")))
            return self._drawings.get(key, lambda: export(file_format))

        return drawn(file_format)

    def report(
        self, sweep_id: str, selection: Selection = Selection(), *, theme: str = "light"
    ) -> bytes:
        """The HTML report of a sweep.

        Raises:
            NotFoundProblem: There is no such sweep.
            SummaryError: No trial has finished, or there is no such theme.
            MlflowUnavailableError: MLflow does not answer.
        """
        theme_of(theme)
        stored = self._stored(sweep_id)

        def compute() -> bytes:
            page = html_report(
                self._table(stored, selection, _NEEDS_HISTORY, _NEEDS_SEVERITIES),
                theme=theme,
                gradient_evaluations=selection.gradient_evaluations,
                draw_svg=lambda figure: self.figure_file(
                    sweep_id, figure.name, selection, file_format="svg", theme=theme
                ),
            )
            return page.encode()

        return self._drawings.get((stored.version, "report", selection, theme), compute)

    def compare(self, sweep_ids: Sequence[str], *, epsilon: float | None = None) -> SweepComparison:
        """Compare several sweeps.

        Raises:
            NotFoundProblem: There is no such sweep.
            SummaryError: They cannot be compared (yet).
        """
        return self._compare(self._stored_all(sweep_ids), epsilon)

    def comparison_figure_file(
        self,
        sweep_ids: Sequence[str],
        name: str,
        *,
        epsilon: float | None = None,
        file_format: str = "json",
        theme: str = "light",
    ) -> bytes:
        """A figure of several sweeps as json, csv, vega-lite, svg or png.

        Raises:
            NotFoundProblem: There is no such sweep.
            SummaryError: There is no such figure, format or theme, or the sweeps cannot show it.
        """
        require_format(file_format, MEDIA_TYPES)
        theme_of(theme)
        stored = self._stored_all(sweep_ids)

        def export() -> bytes:
            figure = compute_comparison_figure(name, self._compare(stored, epsilon))
            return export_figure(figure, file_format, theme=theme)

        if file_format not in DRAWN_FORMATS:
            return export()
        versions = tuple(one.version for one in stored)
        return self._drawings.get((versions, name, epsilon, theme, file_format), export)

    def _figure(
        self, stored: _StoredSweep, name: str, selection: Selection, options: Mapping[str, Option]
    ) -> FigureData:
        """The data of a figure, from the cache."""
        return self._figures.get(
            (stored.version, name, selection, tuple(options.items())),
            lambda: compute_figure(
                name,
                self._table(stored, selection, name),
                gradient_evaluations=selection.gradient_evaluations,
                **options,
            ),
        )

    def _compare(self, stored: Sequence[_StoredSweep], epsilon: float | None) -> SweepComparison:
        """The comparison of several sweeps, from the cache."""
        code_versions = [self._code_version(one.sweep) for one in stored]
        return self._comparisons.get(
            (tuple(one.version for one in stored), tuple(code_versions), epsilon),
            lambda: compare_sweeps(
                [
                    SweepToCompare(
                        one.sweep.sweep_id,
                        one.sweep.name,
                        one.sweep.specification,
                        code_version,
                        self._table(one, Selection()),
                    )
                    for one, code_version in zip(stored, code_versions, strict=True)
                ],
                epsilon=epsilon,
            ),
        )

    def _stored_all(self, sweep_ids: Sequence[str]) -> list[_StoredSweep]:
        """Several sweeps and their versions."""
        if len(sweep_ids) > MAX_COMPARED:
            raise InvalidOptionError(
                "too_many_sweeps",
                f"{len(sweep_ids)} sweeps are too many to compare.",
                (f"at most {MAX_COMPARED}",),
            )
        return [self._stored(sweep_id) for sweep_id in sweep_ids]

    def _stored(self, sweep_id: str) -> _StoredSweep:
        """A sweep and its version."""
        with self._database.snapshot() as session:
            sweep = require_sweep(session, sweep_id)
            outcomes = TrialRepository(session).outcomes(sweep_id)
        version = (sweep_id, sweep.trial_count, sweep.synced_at, sweep.classes, outcomes)
        return _StoredSweep(sweep, version)

    def _table(self, stored: _StoredSweep, selection: Selection, *figures: str) -> TrialTable:
        """The selected trials, with the curves that the budget and the named figures need."""
        sweep = stored.sweep
        table = self._tables.get(stored.version, lambda: self._load(sweep))
        table = table.only(selection.optimizers) if selection.optimizers else table
        if selection.gradient_evaluations is not None:
            keys = [trial.key for trial in table.results()]
            return table.with_curves(self._curves.histories(sweep, keys), {})
        if not {_NEEDS_HISTORY, _NEEDS_SEVERITIES} & set(figures):
            return table
        keys = [
            trial.key
            for scores in score(table, resample=False)
            for trial in scores.trials.results[scores.selected]
            if trial is not None
        ]
        return table.with_curves(
            self._curves.histories(sweep, keys) if _NEEDS_HISTORY in figures else {},
            self._curves.severities(sweep, keys) if _NEEDS_SEVERITIES in figures else {},
        )

    def _load(self, sweep: SweepRow) -> TrialTable:
        """The table of a sweep's trials, from the database."""
        with self._database.snapshot() as session:
            return trial_table(sweep, TrialRepository(session).of_sweep(sweep.sweep_id))

    def _code_version(self, sweep: SweepRow) -> str | None:
        """Commit of the code that ran a sweep; None if unknown or MLflow does not answer."""
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
class _StoredSweep:
    """A sweep as read from the database, and its version, a cache key."""

    sweep: SweepRow
    version: Hashable


def _given(options: FigureOptions | None) -> dict[str, Option]:
    """The options that have a value, sorted and hashable."""
    return {
        name: value if isinstance(value, str) else tuple(value or ())
        for name, value in sorted((options or {}).items())
        if value not in (None, [], ())
    }
