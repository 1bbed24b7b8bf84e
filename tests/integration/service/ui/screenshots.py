"""Takes the pictures of the documentation from a service that runs (``sasam up``).

    python tests/integration/service/ui/screenshots.py http://127.0.0.1:8420 SWEEP docs/images

SWEEP is the id of a sweep of the preset ``digits``, best taken while it runs; no other test takes
these pictures.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

_CHROMIUM = "/usr/bin/chromium"
_WINDOW = {"width": 1100, "height": 900}


def main(url: str, sweep_id: str, folder: str) -> None:
    """Take a picture of each page that the documentation shows."""
    pages = {"sweeps": "/", "sweep": f"/sweeps/{sweep_id}", "new-sweep": "/new"}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(base_url=url, viewport=_WINDOW, color_scheme="light")
        for name, address in pages.items():
            page.goto(address)
            if name == "sweep":
                expect(page.locator(".drawing svg").first).to_be_visible(timeout=30_000)
            page.screenshot(path=Path(folder) / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
