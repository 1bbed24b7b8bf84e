from service.sensitivity import TrialTable, compute_figure, heatmap, heatmap_layouts


def test_heatmap_layouts_arrange_cells_by_decay_then_rate(oracle_table: TrialTable) -> None:
    (layout,) = heatmap_layouts(heatmap(oracle_table, "ood_accuracy"))
    assert [panel.title for panel in layout.panels] == ["SA-SAM", "MSGD", "Adam"]
    assert layout.x_values == (1e-4, 1e-3, 1e-2, 1e-1)
    assert layout.y_values == (1e-4, 1e-6, 1e-8, 0.0)
    assert (layout.low, layout.is_log) == (0.1, False)
    for panel in layout.panels:
        assert [[(c.y, c.x) for c in row] for row in panel.rows] == [
            [(decay, rate) for rate in layout.x_values] for decay in layout.y_values
        ]
    msgd = layout.panels[1]
    assert (msgd.rows[0][3].text, msgd.rows[0][3].shade) == ("div", None)
    assert msgd.rows[1][3].text == "48.2 1/3 div"


def test_heatmap_layouts_of_the_overview_have_a_scale_per_metric(
    oracle_table: TrialTable,
) -> None:
    layouts = heatmap_layouts(compute_figure("overview", oracle_table))
    assert [layout.title for layout in layouts] == [
        "Validation accuracy",
        "OOD accuracy",
        "Tr(H), OOD",
        "λmax(H), OOD",
    ]
    assert [layout.is_log for layout in layouts] == [False, False, True, True]
    alone = heatmap_layouts(heatmap(oracle_table, "hessian_trace"))
    assert alone == layouts[2:3]


def test_heatmap_layouts_survive_json(oracle_table: TrialTable) -> None:
    figure = heatmap(oracle_table, "hessian_trace")
    read = type(figure).model_validate_json(figure.model_dump_json())
    assert heatmap_layouts(read) == heatmap_layouts(figure)
