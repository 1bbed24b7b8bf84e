"""What can be said of a sweep's trials now, as objects for templates."""

from __future__ import annotations

from service.summaries import FigureData, NotAvailableError, SweepSummary
from service.summaries.answers import Answers

__all__ = ["SweepResults"]


class SweepResults:
    """Summary and figures of one sweep, worked out once for each set of ended trials.

    Args:
        answers: Of the application.
        sweep_id: The sweep; it exists.
    """

    def __init__(self, answers: Answers, sweep_id: str) -> None:
        self._answers = answers
        self._sweep_id = sweep_id

    def summary(self) -> SweepSummary | None:
        """Tuning sensitivity; None before a trial has ended."""
        try:
            answer = self._answers.summary(self._sweep_id)
        except NotAvailableError:
            return None
        return SweepSummary.model_validate_json(answer.content)

    def figure(self, name: str, **options: str | None) -> FigureData:
        """A figure's data.

        Raises:
            SummaryError: There is no such figure, or the trials cannot show it.
            MlflowUnavailableError: It needs what only MLflow has, and that does not answer.
        """
        answer = self._answers.figure(self._sweep_id, name, options=options)
        return FigureData.model_validate_json(answer.content)
