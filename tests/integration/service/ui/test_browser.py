"""The pages in Debian's Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

_CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(not _CHROMIUM.exists(), reason=f"there is no {_CHROMIUM}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def page(site: Any, browser: Browser) -> Iterator[Page]:
    """A page that fails the test when anything goes wrong in it."""
    context = browser.new_context(base_url=site.url)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    assert not complaints


def test_submit_from_a_preset_with_an_error_shown_at_its_path(page: Page) -> None:
    page.goto("/new")
    page.get_by_role("link", name="paper-vgg19").click()
    editor = page.get_by_label("Specification")
    expect(editor).to_have_value(re.compile("vgg19"))
    page.get_by_role("link", name="digits").click()
    expect(editor).to_have_value(re.compile("cnn-tiny"))
    check = page.locator("#check")
    expect(check).to_contain_text("Ready to run")
    good = editor.input_value()
    editor.fill(good.replace("1e-2", "-1"))
    expect(check.locator(".path")).to_have_text("search.learning_rate[2]")
    editor.fill(good)
    expect(check).to_contain_text("28,800")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("digits queued")


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
    expect(page.get_by_role("heading", name="Running now")).to_be_visible()
    site.end_trial(sweep_id, trial, 0.875)
    cell = page.get_by_role("link", name=re.compile("87.5"))
    expect(cell).to_contain_text("1/2 seeds")
    expect(page.locator("#sensitivity table").first).to_be_visible()
    cell.click()
    expect(page.locator("#trials tbody tr")).to_have_count(2)
    page.get_by_role("link", name=trial.key[:8]).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("SA-SAM")


def test_news_keep_the_focus_and_what_is_open(page: Page, site: Any) -> None:
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
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator("#confirm-cancel")).to_be_hidden()
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("cancelling")


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
    for tab in ("By learning rate", "Curvature", "All heatmaps", "Best configurations"):
        page.get_by_role("link", name=tab).click()
        expect(page.locator("#figures .tabs [aria-current]")).to_have_text(tab)
        expect(drawing).to_have_count(1)
        assert drawing.locator("text").count() > 3


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
    plain.get_by_role("button", name="Delete…").click()
    plain.get_by_role("button", name="Delete it").click()
    assert plain.goto(f"/sweeps/{sweep_id}").status == 404  # type: ignore[union-attr]
    context.close()


@pytest.mark.parametrize(
    ("look", "width", "scheme"),
    [("light", 1200, "light"), ("dark", 1200, "dark"), ("phone", 390, "light")],
)
def test_every_page_fits_its_window(
    site: Any, browser: Browser, artifacts: Path, look: str, width: int, scheme: Any
) -> None:
    sweep_id, specification = site.complete(f"looks-{look}")
    sweep = f"/sweeps/{sweep_id}"
    addresses = {
        "list": "/",
        "new": "/new",
        "sweep": sweep,
        "trials": f"{sweep}/trials",
        "trial": f"{sweep}/trials/{specification.trials[0].key}",
        "missing": "/sweeps/nope",
    }
    context = browser.new_context(
        base_url=site.url, viewport={"width": width, "height": 844}, color_scheme=scheme
    )
    page = context.new_page()
    for name, address in addresses.items():
        page.goto(address)
        if name == "sweep":
            expect(page.locator(".drawing svg")).to_be_visible()
        page.screenshot(path=artifacts / f"{name}-{look}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    context.close()
