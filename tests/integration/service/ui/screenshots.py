"""Takes the pictures of the documentation from a service that runs (``sasam up``).

    python tests/integration/service/ui/screenshots.py http://127.0.0.1:8420 SWEEP docs/images

SWEEP is the id of a sweep of the preset ``digits`` that is about half done. Tests do not run this.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

_WINDOW = {"width": 1100, "height": 1040}


def main(url: str, sweep_id: str, folder: str) -> None:
    """Take a picture of each page that the documentation shows."""
    sweep = f"/sweeps/{sweep_id}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(base_url=url, viewport=_WINDOW, color_scheme="light")
        page.goto("/new?preset=digits")
        page.screenshot(path=Path(folder, "new-sweep.png"))
        page.goto(sweep)
        expect(page.locator(".sparkline").first).to_be_visible(timeout=60_000)
        page.screenshot(path=Path(folder, "sweep.png"))
        page.goto(f"{sweep}/trials?status=completed")
        page.locator("#trials a").first.click()
        expect(page.locator(".drawing svg")).to_have_count(3, timeout=60_000)
        page.screenshot(path=Path(folder, "trial.png"))
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
