"""The plane of a heatmap: its two hyperparameters, and what becomes of the others.

Each of the others is fixed at a value, or reduced: to the choice that validation selects ("best"),
or to the mean over all choices ("mean"; of curvatures, which span orders of magnitude, the median).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from service.sensitivity import statistics
from service.sensitivity.errors import InvalidOptionError, NotAvailableError
from service.sensitivity.figures.figure_data import require_option
from service.sensitivity.hyperparameters import Axis, axis_named, merge_axes, parse_value
from service.sensitivity.scores import Scores
from workers.hyperparameter_text import axis_titles, value_text
from workers.spec.configuration import Value

__all__ = ["REST", "Place", "Plane", "Rest", "choose_plane", "configurations_by_place"]

Rest = Literal["best", "mean"]
REST: tuple[str, ...] = get_args(Rest)

Place = tuple[Value, Value]
"""Values on the horizontal and on the vertical axis."""


@dataclass(frozen=True, slots=True)
class Plane:
    """What a heatmap shows of a grid.

    Attributes:
        x: The horizontal axis, with the values of all optimizers.
        y: The vertical axis, likewise.
        rest: How hyperparameters that are neither shown nor fixed are reduced.
        fixed: Values of the fixed ones by name.
        titles: Display names of all hyperparameters by name.
    """

    x: Axis
    y: Axis
    rest: Rest
    fixed: Mapping[str, Value]
    titles: Mapping[str, str]

    def reduced(self, axes: Sequence[Axis]) -> list[str]:
        """Names of the hyperparameters, among those of an optimizer, that are reduced."""
        kept = {self.x.name, self.y.name, *self.fixed}
        return [axis.name for axis in axes if axis.name not in kept]

    def narrowed(self, axes_by_optimizer: Iterable[Sequence[Axis]]) -> "Plane":
        """This plane with the values of the optimizers that have cells in it, if there is one."""
        shown = [axes for axes in axes_by_optimizer if not self.absence(axes)]
        if not shown:
            return self
        x, y = (
            merge_axes(axis_named(axes, name) for axes in shown)[0]
            for name in (self.x.name, self.y.name)
        )
        return replace(self, x=x, y=y)

    def absence(self, axes: Sequence[Axis]) -> str:
        """Why an optimizer with these axes has no cell in this plane; empty if it has."""
        own = {axis.name: axis for axis in axes}
        for axis in (self.x, self.y):
            if axis.name not in own:
                return f"no {self.titles[axis.name]} in its search"
        for name, value in self.fixed.items():
            if name in own and value not in own[name].values:
                return f"{self.titles[name]} {value_text(value)} not in its search"
        return ""


def choose_plane(
    axes: Sequence[Axis], x: str | None, y: str | None, rest: str, at: Sequence[str]
) -> Plane:
    """The plane that options describe.

    Args:
        axes: The axes of all optimizers.
        x: Name of the horizontal axis; by default the learning rate, or the first one.
        y: Name of the vertical axis; by default the weight decay, or the next one.
        rest: "best" or "mean".
        at: Fixed values, each as ``axis=value``.

    Raises:
        UnknownNameError: There is no such axis, or it has no such value.
        InvalidOptionError: ``x`` and ``y`` are the same, an entry of ``at`` fixes one of them or is
            malformed, or ``rest`` is unknown.
        NotAvailableError: The search varies one hyperparameter only.
    """
    require_option("rest", rest, REST)
    if len(axes) < 2:
        raise NotAvailableError(
            "needs_two_axes",
            f"A heatmap needs two hyperparameters; this search varies {len(axes)}.",
            ("lr-curves", "best"),
        )
    for name in (x, y):
        if name is not None:
            axis_named(axes, name)
    free = [axis.name for axis in axes if axis.name not in (x, y)]
    x = _take(free, "learning_rate") if x is None else x
    y = _take(free, "weight_decay") if y is None else y
    if x == y:
        raise InvalidOptionError("same_axes", f"x and y are both {x!r}.", free)
    return Plane(
        x=axis_named(axes, x),
        y=axis_named(axes, y),
        rest=rest,  # type: ignore[arg-type]  # checked above
        fixed=dict(_fixed(axes, text, (x, y)) for text in at),
        titles=axis_titles(axis.name for axis in axes),
    )


def configurations_by_place(scores: Scores, plane: Plane) -> dict[Place, NDArray[np.intp]]:
    """The configurations behind each cell of an optimizer that has both axes.

    Returns:
        Indices by place, in the order of the configurations: the selected one for "best", all for
        "mean". Without a reduced hyperparameter each place has one.
    """
    trials = scores.trials
    own = {axis.name: at for at, axis in enumerate(trials.axes)}
    kept = np.ones(len(trials.places), dtype=np.bool_)
    for name, value in plane.fixed.items():
        if name in own:
            at = trials.axes[own[name]].values.index(value)
            kept &= trials.places[:, own[name]] == at
    columns = [own[plane.x.name], own[plane.y.name]]
    places: dict[tuple[int, int], list[int]] = {}
    for index in np.flatnonzero(kept).tolist():
        column, row = trials.places[index, columns].tolist()
        places.setdefault((column, row), []).append(index)
    x, y = (trials.axes[at].values for at in columns)
    found = {
        (x[column], y[row]): np.array(indices, dtype=np.intp)
        for (column, row), indices in places.items()
    }
    if plane.rest == "mean":
        return found
    return {
        place: indices[[int(statistics.select(scores.val[indices]))]]
        for place, indices in found.items()
    }


def _take(names: list[str], usual: str) -> str:
    """Take the usual name from a list, or the first one."""
    return names.pop(names.index(usual) if usual in names else 0)


def _fixed(axes: Sequence[Axis], text: str, shown: tuple[str, str]) -> tuple[str, Value]:
    """Name and value of ``axis=value``."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidOptionError(
            "invalid_at", f"at cannot be {text[:40]!r}.", ("axis=value, such as learning_rate=0.1",)
        )
    axis = axis_named(axes, name)
    if name in shown:
        others = [axis.name for axis in axes if axis.name not in shown]
        raise InvalidOptionError("invalid_at", f"at fixes {name!r}, which is shown.", others)
    return name, parse_value(axis, value)
