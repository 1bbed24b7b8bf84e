import csv
import io
import re
from collections.abc import Callable

import pytest

from service.sensitivity import (
    TrialTable,
    UnknownNameError,
    html_report,
    render_table,
    summarize,
    summary_csv,
    summary_latex,
)

MakeTable = Callable[..., TrialTable]


def test_render_table_puts_sensitivity_beside_accuracy(oracle_table: TrialTable) -> None:
    table = render_table(summarize(oracle_table))
    adam = dict(zip(table.columns, table.rows[2], strict=True))
    assert adam["OOD %"] == "69.8 ± 0.4"
    assert adam["lr sensitivity"].startswith("20.0 [")
    assert adam["diverged"] == "8/48"
    assert adam["trials to target"] == "never"
    assert adam["wd"] == "1e-4*"  # on the edge of the grid
    assert adam["Tr(H) OOD"] == "686"
    assert len(table.notes) == len(summarize(oracle_table).caveats)


def test_render_table_without_seeds_or_ood_has_no_empty_columns(make_table: MakeTable) -> None:
    table = render_table(summarize(make_table(), gradient_evaluations="equal"))
    assert "OOD %" not in table.columns
    assert not any(column.startswith("Tr(H)") for column in table.columns)
    assert all("±" not in cell for row in table.rows for cell in row)


def test_summary_csv_has_every_number_at_full_precision(oracle_table: TrialTable) -> None:
    summary = summarize(oracle_table)
    rows = list(csv.DictReader(io.StringIO(summary_csv(summary).decode())))
    assert [row["optimizer"] for row in rows] == ["SA-SAM", "MSGD", "Adam"]
    assert float(rows[1]["lr_sensitivity"]) == summary.optimizer("MSGD").lr_sensitivity
    low = summary.optimizer("MSGD").intervals["lr_sensitivity"].low
    assert float(rows[1]["intervals.lr_sensitivity.low"]) == low
    assert rows[2]["trials_to_target.expected_trials"] == ""


def test_summary_latex_is_a_booktabs_table(oracle_table: TrialTable) -> None:
    text = summary_latex(summarize(oracle_table))
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 4
    assert len({row.count(" & ") for row in rows}) == 1
    assert r"OOD \%" in rows[0]
    assert r"69.8 $\pm$ 0.4" in rows[3]
    table = text[text.index(r"\begin") :]
    assert re.search(r"(?<!\\)[%#_]", table) is None


@pytest.mark.slow
def test_html_report_needs_no_network(make_table: MakeTable) -> None:
    page = html_report(
        make_table(optimizers=["SA-SAM", "<b>SAM"], rates=(1e-3, 1e-2), decays=(0.0, 1e-4))
    )
    assert re.search(r"(src|href)=\"(?!data:)", page) is None
    assert "<script" not in page
    assert "&lt;b&gt;SAM" in page
    assert "<b>SAM" not in page
    assert page.count("<img") == 10  # four common configurations: no ranks
    assert "learning_rate_is_initial_step_size" in page


@pytest.mark.slow
def test_html_report_of_a_search_leaves_out_what_needs_a_grid(make_table: MakeTable) -> None:
    rows = make_table(optimizers=["SA-SAM", "SAM"]).results()
    page = html_report(TrialTable.from_results(rows, chance_accuracy=0.1, search="random"))
    assert page.count("<img") == 9  # no heatmaps, no curves along the learning rate
    assert "not_a_grid" in page


def test_html_report_unknown_theme_is_refused(oracle_table: TrialTable) -> None:
    with pytest.raises(UnknownNameError, match="light, dark"):
        html_report(oracle_table, theme="sepia")
