"""Use of the pages in Chromium."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Browser, Page, expect

from service.sensitivity.figures import page_figures
from service.states import SweepState
from service.sweeps.service import require_sweep
from tests.support.pages_site import look_away_and_back


def write(page: Page, text: str) -> None:
    """Replace the text in the editor of specifications, as a paste does."""
    editor = page.get_by_label("Specification")
    editor.focus()
    page.keyboard.press("ControlOrMeta+A")
    editor.evaluate(
        """(editor, text) => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text/plain", text);
            const paste = { clipboardData, bubbles: true, cancelable: true };
            editor.dispatchEvent(new ClipboardEvent("paste", paste));
        }""",
        text,
    )


def test_submit_from_a_preset_with_an_error_shown_at_its_path(page: Page) -> None:
    page.goto("/new")
    page.get_by_role("link", name="paper-vgg19").click()
    editor = page.locator("textarea[name=specification]")
    expect(editor).to_have_value(re.compile("vgg19"))
    page.get_by_role("link", name="digits").click()
    expect(editor).to_have_value(re.compile("cnn-tiny"))
    check = page.locator("#check")
    expect(check).to_contain_text("Ready to run")
    good = editor.input_value()
    write(page, good.replace("1e-2", "-1"))
    expect(check.locator(".path")).to_have_text("search.learning_rate[2]")
    line = 1 + good[: good.index("1e-2")].count("\n")
    expect(check.locator(".line")).to_have_text(f"line {line}")
    expect(page.locator(".cm-lintRange-error")).to_contain_text("-1")
    write(page, good)
    expect(page.locator(".cm-lintRange-error")).to_have_count(0)
    expect(check).to_contain_text("28,800")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("digits queued")


def test_keys_and_values_are_completed_from_the_schema(page: Page) -> None:
    page.goto("/new")
    editor = page.get_by_label("Specification")

    def offered(text: str) -> list[str]:
        write(page, text[:-1])
        editor.press("Control+End")
        page.keyboard.type(text[-1])
        options = page.locator(".cm-tooltip-autocomplete li .cm-completionLabel")
        expect(options.first).to_be_visible()
        found = options.all_text_contents()
        page.keyboard.press("Escape")
        return found

    assert "training" in offered("name: x\ntrain")
    assert "epochs" in offered("name: x\ntraining:\n  epo")
    assert "constant" in offered("training:\n  schedule: co")
    assert "momentum" in offered("optimizers:\n  - name: msgd\n    mom")
    assert "weight_decay" in offered("search: {learning_rate: [0.1], wei")
    assert "msgd" in offered("optimizers: [sam, ms")
    assert "cnn-tiny" in offered("model: cnn")
    assert "vgg19" in offered("model: {name: vg")
    assert "digits" in offered("dataset:\n  name: di")


def test_heatmap_fills_and_a_cell_leads_to_its_trials(page: Page, site: Any) -> None:
    sweep_id, specification = site.submit("filling")
    site.run(sweep_id)
    page.goto(f"/sweeps/{sweep_id}")
    cells = page.locator(".heatmap td a")
    expect(cells).to_have_count(8)
    expect(cells.filter(has_text="–")).to_have_count(8)
    trial = specification.trials[0]
    site.start_trial(sweep_id, trial)
    expect(page.locator(".heatmap .busy")).to_have_count(1)
    expect(page.get_by_role("heading", name="Running trials")).to_be_visible()
    site.end_trial(sweep_id, trial, 0.875)
    cell = page.get_by_role("link", name=re.compile("87.5"))
    expect(cell).to_contain_text("1/2 seeds")
    expect(page.locator("#sensitivity table").first).to_be_visible()
    cell.click()
    expect(page.locator("#trials tbody tr")).to_have_count(2)
    page.get_by_role("link", name=trial.key[:8]).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("SA-SAM")


def test_running_trials_have_sparklines(page: Page, site: Any, runs: Any) -> None:
    sweep_id, specification = site.submit("curves")
    site.run(sweep_id)
    trial = specification.trials[3]
    run_id = runs.log({"val_accuracy": [0.25]}, {})
    site.start_trial(sweep_id, trial, 0.25, run_id=run_id)
    page.goto(f"/sweeps/{sweep_id}")
    row = page.locator(f"#running-{trial.key}")
    expect(row.get_by_role("img", name="from 25.0 to 25.0 percent in epoch 1")).to_be_visible()
    run_id = runs.log({"val_accuracy": [0.25, 0.75]}, {})
    site.start_trial(sweep_id, trial, 0.75, run_id=run_id, epoch=2)
    expect(row.get_by_role("img", name="from 25.0 to 75.0 percent in epoch 2")).to_be_visible()
    expect(row).to_contain_text("2/2")
    site.end_trial(sweep_id, trial, 0.75)
    expect(page.get_by_role("heading", name="Running trials")).to_be_hidden()


def test_interrupted_event_stream_is_reported_and_misses_no_event(page: Page, site: Any) -> None:
    sweep_id, specification = site.submit("interrupted")
    site.run(sweep_id)
    with page.expect_response(re.compile("/events")):
        page.goto(f"/sweeps/{sweep_id}")
    # The answer of a proxy without its service; the browser would not reconnect by itself.
    page.route("**/events?*", lambda route: route.fulfill(status=502))
    look_away_and_back(page)
    connection = page.locator("#connection")
    expect(connection).to_contain_text("interrupted")
    site.end_trial(sweep_id, specification.trials[0], 0.5)
    page.unroute_all()
    expect(page.locator(".progress")).to_contain_text("1 of 16")
    expect(connection).to_be_empty()


def test_stream_ends_with_the_sweep(page: Page, site: Any) -> None:
    sweep_id, specification = site.submit("over")
    site.run(sweep_id)
    streams: list[str] = []
    page.on("request", lambda r: streams.append(r.url) if "/events?" in r.url else None)
    page.goto(f"/sweeps/{sweep_id}")
    for trial in specification.trials:
        site.end_trial(sweep_id, trial, 0.5)
    with page.expect_event("requestfinished", lambda request: "/events?" in request.url):
        site.move(sweep_id, SweepState.RUNNING, SweepState.COMPLETED)
    expect(page.get_by_role("heading", level=1)).to_contain_text("completed")
    expect(page.locator(".progress")).to_contain_text("16 of 16")
    expect(page.locator("[data-follow]")).to_have_count(0)
    look_away_and_back(page)
    assert len(streams) == 1
    expect(page.locator("#connection")).to_be_empty()


def test_other_code_asks_for_consent(page: Page, site: Any) -> None:
    sweep_id, specification = site.submit("other-code")
    site.run(sweep_id)
    site.end_trial(sweep_id, specification.trials[0], 0.5)
    site.move(sweep_id, SweepState.RUNNING, SweepState.PAUSING, SweepState.PAUSED)
    with site.database.transaction() as session:
        require_sweep(session, sweep_id).code_version = "0.0.1"
    page.goto(f"/sweeps/{sweep_id}")
    with page.expect_console_message(lambda message: "409" in message.text):
        page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The code has changed")
    expect(page.locator(".lead")).to_contain_text("0.0.1")
    page.get_by_role("button", name="Resume anyway").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("queued")


def test_sweep_is_extended_in_the_editor(page: Page, site: Any) -> None:
    sweep_id, _ = site.complete("grows")
    page.goto(f"/sweeps/{sweep_id}")
    page.get_by_role("link", name="Extend").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Extend grows")
    check = page.locator("#check")
    expect(check).to_contain_text("Nothing new yet")
    editor = page.locator("textarea[name=specification]")
    text = editor.input_value()
    write(page, text.replace("fog", "snow"))
    expect(check.locator(".path")).to_have_text("ood.corruptions")
    write(page, text.replace("  - 0.01\n", "  - 0.01\n  - 1.0\n"))
    expect(check).to_contain_text("24, 8 of them new")
    page.get_by_role("button", name="Extend").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("grows queued")
    expect(page.locator("#status")).to_contain_text("16 of 24 trials")
    expect(page.locator("#history")).to_contain_text("extended by 8 trials")


def test_best_configuration_is_copied(page: Page, site: Any) -> None:
    sweep_id, _ = site.complete("copied")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"/sweeps/{sweep_id}")
    copy = page.get_by_role("button", name="Copy YAML of MSGD")
    copy.click()
    expect(copy).to_have_text("Copied")
    text = page.evaluate("navigator.clipboard.readText()")
    assert text.startswith("# Best configuration of msgd in the sweep copied")


def test_ticked_trials_are_overlaid(page: Page, site: Any, runs: Any) -> None:
    sweep_id, specification = site.submit("overlaid")
    site.run(sweep_id)
    for trial, values in zip(specification.trials, ([0.2, 0.4], [0.3, 0.9]), strict=False):
        run_id = runs.log({"val_accuracy": values, "train_loss": [2.0, 1.0]}, {})
        site.end_trial(sweep_id, trial, values[-1], run_id=run_id)
    page.goto(f"/sweeps/{sweep_id}/trials?status=completed")
    for box in page.locator("td input[type=checkbox]").all():
        box.check()
    page.get_by_role("button", name="Overlay curves").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Learning curves")
    expect(page.locator(".drawing svg .mark-line path")).to_have_count(2)
    page.get_by_role("link", name="Trials").click()
    page.get_by_text("Columns").click()
    page.get_by_label("λmax(H), validation", exact=True).check()
    expect(page.get_by_role("columnheader", name="λmax(H), validation")).to_be_visible()
    page.get_by_role("link", name="epoch").click()
    expect(page.get_by_role("columnheader", name="λmax(H), validation")).to_be_visible()


def test_sweeps_are_chosen_and_compared(page: Page, site: Any) -> None:
    first, _ = site.complete("compared-one")
    site.complete("compared-two", seeds=(0,))
    page.goto(f"/sweeps/{first}")
    page.get_by_role("link", name="Compare with…").click()
    expect(page.get_by_label("compared-one")).to_be_checked()
    page.get_by_role("searchbox").fill("compared-t")
    expect(page.locator("#offered li")).to_have_count(1)
    page.get_by_label("compared-two").check()
    page.get_by_role("button", name="Compare").click()
    table = page.get_by_role("region", name="Numbers")
    expect(table.locator("tbody tr")).to_have_count(4)  # two optimizers each
    page.get_by_text("1 difference between").click()
    expect(page.get_by_role("region", name="Differences")).to_contain_text("seeds")
    expect(page.locator(".drawing svg")).to_be_visible()


def test_trial_shows_its_logs_and_traceback(page: Page, site: Any, runs: Any) -> None:
    sweep_id, specification = site.submit("logged")
    site.run(sweep_id)
    trial = specification.trials[0]
    files = {"log.txt": "epoch 1: all is well", "traceback.txt": "ValueError: no <such> thing"}
    run_id = runs.log({"val_accuracy": [0.5], "step_size": [0.1]}, files)
    page.goto(f"/sweeps/{sweep_id}/trials/{trial.key}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("pending")
    failed = {"outcome": "failed", "error": "no <such> thing", "run_id": run_id}
    site.end_trial(sweep_id, trial, 0.5, **failed)
    expect(page.get_by_role("heading", level=1)).to_contain_text("failed")
    expect(page.get_by_text("ValueError: no <such> thing")).to_be_visible()
    expect(page.locator(".drawing svg")).to_have_count(2)  # accuracy, step size
    expect(page.locator(".drawing").last).to_have_attribute("aria-label", "Step size")
    page.get_by_text("Trial log").click()
    expect(page.locator("pre", has_text="epoch 1: all is well")).to_be_visible()


def test_search_without_a_grid_shows_its_best_configurations(page: Page, site: Any) -> None:
    searched = {"type": "random", "trials": 4, "weight_decay": (0.0, 1e-4)}
    sweep_id, specification = site.complete("searched", search=searched)
    page.goto(f"/sweeps/{sweep_id}")
    expect(page.locator("#search .drawing svg")).to_be_visible()
    best = page.get_by_role("region", name="Best configurations").locator("tbody tr")
    expect(best).to_have_count(8)
    best.first.get_by_role("link").click()
    expect(page.locator("#trials tbody tr")).to_have_count(len(specification.seeds))


def test_updates_keep_open_elements_open(page: Page, site: Any) -> None:
    sweep_id, specification = site.submit("steady")
    site.run(sweep_id)
    for trial in specification.trials[:4]:
        site.end_trial(sweep_id, trial, 0.5)
    page.goto(f"/sweeps/{sweep_id}")
    page.locator("#comparisons summary").click()
    page.get_by_role("button", name="Cancel…").click()
    site.end_trial(sweep_id, specification.trials[4], 0.5)
    expect(page.locator(".progress")).to_contain_text("5 of 16")
    expect(page.locator("#confirm-cancel")).to_be_visible()
    expect(page.locator("#comparisons table")).to_be_visible()


def test_cancel_asks_and_then_cancels(page: Page, site: Any) -> None:
    sweep_id, _ = site.submit("cancelled")
    site.run(sweep_id)
    page.goto(f"/sweeps/{sweep_id}")
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name="Keep sweep").click()
    expect(page.locator("#confirm-cancel")).to_be_hidden()
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name="Cancel sweep").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("cancelling")


def test_keyboard_alone_opens_a_cell(page: Page, site: Any) -> None:
    sweep_id, _ = site.complete("keyboard")
    page.goto(f"/sweeps/{sweep_id}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.heatmap') !== null"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("#trials tbody tr")).to_have_count(2)


def test_list_is_searched_as_one_types(page: Page, site: Any) -> None:
    site.submit("haystack-one")
    site.submit("haystack-two")
    page.goto("/?q=haystack")
    rows = page.locator(".sweeps > li")
    expect(rows).to_have_count(2)
    page.get_by_label("Search").fill("haystack-t")
    expect(rows).to_have_count(1)
    assert "q=haystack-t" in page.url


def test_figures_are_drawn_without_eval(page: Page, site: Any) -> None:
    sweep_id, _ = site.complete("figures")
    page.goto(f"/sweeps/{sweep_id}")
    drawing = page.locator(".drawing svg")
    for tab in ("By hyperparameter", "Curvature", "All heatmaps", "Best configurations"):
        page.get_by_role("link", name=tab).click()
        expect(page.locator("[aria-label=Figures] [aria-current]")).to_have_text(tab)
        expect(drawing).to_have_count(1)
        assert drawing.locator("text").count() > 3


def test_curves_are_drawn_along_a_chosen_hyperparameter(page: Page, site: Any) -> None:
    sweep_id, _ = site.complete("curves")
    page.goto(f"/sweeps/{sweep_id}?figure=lr-curves")
    page.locator("[aria-label=Hyperparameter]").get_by_role("link", name="weight decay").click()
    drawing = page.locator("#figures .drawing svg")
    expect(drawing.get_by_text("weight decay", exact=True)).to_be_visible()
    assert "axis=weight_decay" in page.url


def test_colours_of_a_legend_outlive_a_change_of_the_address(page: Page, site: Any) -> None:
    sweep_id, _ = site.complete("legend")
    page.goto(f"/sweeps/{sweep_id}?figure=parallel-coordinates")
    gradient = page.locator('#figures .drawing [fill^="url("]').first
    expect(gradient).to_have_attribute("fill", re.compile(r"^url\(#"))


def test_figures_of_one_seed_are_drawn_without_warnings(page: Page, site: Any) -> None:
    sweep_id, _ = site.complete("one-seed", seeds=(0,))
    page.goto(f"/sweeps/{sweep_id}")
    for figure in page_figures("grid"):
        page.goto(f"/sweeps/{sweep_id}?figure={figure}")
        # The others need MLflow, five configurations, or three learning rates.
        if figure not in {"learning-curves", "corruptions", "rank", "tolerance"}:
            expect(page.locator("#figures .drawing svg")).to_be_visible()


def test_without_javascript_everything_can_be_read(site: Any, browser: Browser) -> None:
    sweep_id, _ = site.complete("plain")
    context = browser.new_context(base_url=site.url, java_script_enabled=False)
    plain = context.new_page()
    plain.goto("/")
    plain.get_by_role("link", name="plain", exact=True).click()
    expect(plain.locator(".heatmap td a").first).to_have_text(re.compile(r"\d"))
    figure = plain.locator("#figures img")
    expect(figure).to_be_visible()
    assert figure.evaluate("image => image.complete || image.decode().then(() => true)")
    other, _ = site.complete("plain-other")
    plain.goto("/compare")
    for box in (sweep_id, other):
        plain.locator(f"[value='{box}']").check()
    plain.get_by_role("button", name="Compare").click()
    expect(plain.locator("#figures img")).to_be_visible()
    expect(plain.get_by_role("region", name="Numbers")).to_be_visible()
    plain.goto(f"/sweeps/{sweep_id}")
    plain.get_by_role("button", name="Delete…").click()
    plain.get_by_role("button", name="Delete sweep").click()
    assert plain.goto(f"/sweeps/{sweep_id}").status == 404  # type: ignore[union-attr]
    context.close()
