"""Tables of the report on what was run, and on the results of each optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from service.ui.labels import duration
from study.evidence import lowest_share, selected_curvature
from study.parts import PARTS, Part
from study.records import OptimizerRecord, PartRecord
from study.text import curvature_text, number_text, percent_text, table
from workers.hyperparameter_text import value_text
from workers.spec.parsing import parse_spec

__all__ = ["result_sections", "runs_table", "trained_epochs"]

_FIGURES = {
    "lr-curves": "OOD accuracy by learning rate",
    "trace-heatmap": "Tr(H) on OOD images by learning rate and weight decay",
}


def runs_table(records: Mapping[str, PartRecord]) -> Iterator[str]:
    """What was run, how long it took, and what is missing."""
    heads = ["part", "trials", "learning rates", "weight decays", "seeds", "epochs"]
    yield from table(
        [*heads, "wall time", "sum over trials"],
        [_run_row(part, records.get(part.name)) for part in PARTS],
    )
    yield ""
    missing_parts = [part.title for part in PARTS if part.name not in records]
    if missing_parts:
        yield (
            f"**Missing: {'; '.join(missing_parts)}.** Their sweeps have not ended on any machine "
            "that made this page; `make study` runs what is left.\n"
        )
    for part in PARTS:
        record = records.get(part.name)
        if record is not None and not record.is_complete:
            missing = record.planned_trials - record.finished_trials
            yield (
                f"**Incomplete: {part.title}.** {missing} of {record.planned_trials} trials have "
                "no result yet; its numbers and verdicts are those of the others.\n"
            )
    for name in ("machine", "conditions", "code_version"):
        values = dict.fromkeys(str(getattr(one.run, name)) for one in records.values())
        yield f"{name.replace('_', ' ').capitalize()}: {'; '.join(values)}.\n"


def trained_epochs(records: Mapping[str, PartRecord]) -> str:
    """Epochs of the parts, such as "4 or 10"."""
    return " or ".join(map(str, sorted({_epochs(record) for record in records.values()})))


def result_sections(claimed: Sequence[tuple[Part, PartRecord]]) -> Iterator[str]:
    """One section per part: a row per optimizer, and figures."""
    for part, record in claimed:
        yield f"### {part.title[0].upper()}{part.title[1:]}\n"
        heads = ["optimizer", "selected lr", "validation", "OOD", "mean", "near best"]
        yield from table(
            [*heads, "lr sensitivity", "S(2)", "S(10)", "W", "Tr(H)", "flattest", "diverged"],
            [_result_row(one, record) for one in record.optimizers],
        )
        yield ""
        for figure, file in part.figure_files.items():
            yield f"![{_FIGURES[figure]}: {part.title}](images/{file})\n"


def _run_row(part: Part, record: PartRecord | None) -> list[str]:
    if record is None:
        return [part.title, "no record yet", *[""] * 6]
    rates, run = record.learning_rates, record.run
    return [
        f"[{part.title}](reproduction/{part.name}.json)",
        f"{record.finished_trials} of {record.planned_trials}",
        f"{len(rates)} from {value_text(rates[0])} to {value_text(rates[-1])}",
        ", ".join(map(value_text, record.weight_decays)),
        str(record.n_seeds),
        str(_epochs(record)),
        "not ended" if run.wall_seconds is None else duration(run.wall_seconds),
        duration(run.trial_seconds),
    ]


def _result_row(one: OptimizerRecord, record: PartRecord) -> list[str]:
    edge = "*" if one.best.learning_rate_on_edge else ""
    bound = "≥ " if one.width_is_lower_bound else ""
    flattest, measured = lowest_share(record, one.label, "hessian_trace")
    return [
        one.title,
        f"{value_text(one.best.learning_rate)}{edge}",
        percent_text(one.best.val_accuracy),
        percent_text(one.best.ood_accuracy),
        percent_text(one.mean_ood_accuracy),
        f"{100 * one.near_best_share:.0f} %",
        percent_text(one.lr_sensitivity),
        *(percent_text(one.off_by[factor]) for factor in ("2", "10")),
        bound + number_text(one.width),
        curvature_text(selected_curvature(record, one.label, "hessian_trace")),
        f"{flattest} of {measured}",
        str(one.diverged_trials),
    ]


def _epochs(record: PartRecord) -> int:
    """Epochs as recorded; the files that the specification names need not be there."""
    epochs: int = parse_spec(record.specification)["training"]["epochs"]
    return epochs
