"""A heatmap as cells that a terminal can colour and print."""

from dataclasses import dataclass

from service.summaries.figures.data import FigureData

__all__ = ["TerminalCell", "TerminalPanel", "terminal_heatmap"]


@dataclass(frozen=True, slots=True)
class TerminalCell:
    """One configuration.

    Attributes:
        text: The value with its note ("48.2 1/3 div").
        shade: Place on the shared colour scale in [0, 1]; None where there is no colour.
        negative: Whether a negative curvature is to be marked.
    """

    text: str
    shade: float | None
    negative: bool


@dataclass(frozen=True, slots=True)
class TerminalPanel:
    """One optimizer's grid.

    Attributes:
        title: The optimizer.
        learning_rates: Headings of the columns.
        weight_decays: Headings of the rows, the largest first as in the figure.
        cells: By weight decay, then learning rate.
    """

    title: str
    learning_rates: tuple[str, ...]
    weight_decays: tuple[str, ...]
    cells: tuple[tuple[TerminalCell, ...], ...]


def terminal_heatmap(figure: FigureData) -> tuple[TerminalPanel, ...]:
    """The panels of a heatmap.

    Args:
        figure: What :func:`service.summaries.figures.heatmap` computed.
    """
    rates = figure.values("learning_rate")
    decays = figure.values("weight_decay")[::-1]
    found = {
        (record["title"], record["weight_decay"], record["learning_rate"]): TerminalCell(
            text=f"{record['label']} {record['note']}".strip(),
            shade=float(record["shade"] or 0.0) if record["state"] == "value" else None,
            negative=bool(record["negative"]),
        )
        for record in figure.records
    }
    return tuple(
        TerminalPanel(
            title=str(optimizer),
            learning_rates=tuple(f"{rate:g}" for rate in rates),
            weight_decays=tuple(f"{decay:g}" for decay in decays),
            cells=tuple(tuple(found[optimizer, decay, rate] for rate in rates) for decay in decays),
        )
        for optimizer in figure.values("title")
    )
