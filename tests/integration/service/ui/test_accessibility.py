"""Accessibility of every page in light, dark and phone layout, by axe-core; nothing overflows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from service.sweeps.service import require_sweep

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
SERIOUS = {"serious", "critical"}
RADIUS = {"step_size": [0.1, 0.05, 0.04], "perturbation_radius": [0.05, 0.02, 0.01]}
MATRIX = {"fog": [0.8, 0.6], "frost": [0.7, 0.3]}


@pytest.fixture(scope="module")
def pages(site: Any, runs: Any) -> dict[str, str]:
    """The address of every kind of page, with all of its optional content."""
    done, specification = site.complete("looks-done", tags={"owner": "vision"})
    searched, _ = site.complete("looks-searched", search={"type": "random", "trials": 6})
    live, _ = site.submit("looks-live")
    site.run(live)
    first, second, third, fourth, *_ = specification.trials
    curves = {"val_accuracy": [0.4, 0.7, 0.8], "train_loss": [2.0, 1.0, 0.5], **RADIUS}
    files = {"ood_matrix.json": json.dumps(MATRIX), "traceback.txt": "Traceback\nValueError: no"}
    run_id = runs.log(curves, files)
    site.end_trial(live, first, 0.8, run_id=run_id)
    site.end_trial(live, second, 0.7, outcome="failed", error="no", run_id=run_id)
    site.end_trial(live, third, None)
    site.start_trial(live, fourth, 0.8, run_id=run_id)
    with site.database.transaction() as session:
        require_sweep(session, live).reason = "no node of the cluster fits a trial of 1 CPU + 1 GPU"
    return {
        "sweeps": "/",
        "new": "/new",
        "extend": f"/new?extend={done}",
        "sweep-live": f"/sweeps/{live}",
        "sweep-done": f"/sweeps/{done}",
        "sweep-searched": f"/sweeps/{searched}",
        "events": f"/sweeps/{live}/events",
        "trials": f"/sweeps/{live}/trials",
        "curves": f"/sweeps/{live}/curves?trial={first.key}&trial={third.key}",
        "trial": f"/sweeps/{live}/trials/{first.key}",
        "trial-failed": f"/sweeps/{live}/trials/{second.key}",
        "compare": f"/compare?sweeps={done},{searched}",
        "missing": "/sweeps/nope",
        "login": "/login",
    }


@pytest.mark.parametrize(
    ("look", "width", "scheme", "rules"),
    [
        ("light", 1200, "light", None),
        # Only rules that these layouts can break: other colours, and regions that scroll.
        ("dark", 1200, "dark", ["color-contrast"]),
        ("phone", 390, "light", ["scrollable-region-focusable", "target-size"]),
    ],
)
def test_every_page_can_be_used_by_everyone(
    site: Any,
    pages: dict[str, str],
    browser: Browser,
    artifacts: Path,
    look: str,
    width: int,
    scheme: Any,
    rules: list[str] | None,
) -> None:
    context = browser.new_context(
        base_url=site.url, viewport={"width": width, "height": 844}, color_scheme=scheme
    )
    page = context.new_page()
    found: dict[str, list[str]] = {}
    for name, address in pages.items():
        page.goto(address)
        for drawing in page.locator("[data-figure]:not([data-empty]) .drawing").all():
            expect(drawing.locator("svg")).to_be_visible()
        page.screenshot(path=artifacts / f"{name}-{look}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        page.evaluate(AXE)
        options = {"runOnly": rules} if rules else {}
        violations = page.evaluate("async (o) => (await axe.run(o)).violations", options)
        found[name] = [
            f"{violation['id']}: {node['html'][:200]}"
            for violation in violations
            if violation["impact"] in SERIOUS
            for node in violation["nodes"]
        ]
    context.close()
    assert not {name: problems for name, problems in found.items() if problems}
