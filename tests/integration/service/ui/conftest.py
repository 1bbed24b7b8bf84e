"""A real service, with an MLflow server and a browser for the tests that need them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.support.mlflow_server import serve_mlflow
from tests.support.pages_site import Runs, Site, serve_site

_CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


expect.set_options(timeout=20_000)  # a busy machine draws its first figure after ten seconds


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One service for all tests of this folder; each makes its own sweeps."""
    with serve_site(tmp_path_factory.mktemp("home")) as served:
        yield served


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service that requires tokens."""
    with serve_site(tmp_path_factory.mktemp("guarded"), auth="required") as served:
        yield served


@pytest.fixture(scope="session")
def runs(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """A real MLflow server at the address where the site expects one."""
    port = site.settings.mlflow_tracking_uri.port
    with serve_mlflow(tmp_path_factory.mktemp("mlflow"), port=port) as server:
        yield Runs(server.uri)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as installed on this machine, else the one of Playwright."""
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        found = shutil.which("chromium") or (own if own.exists() else None)
        if found is None:
            pytest.skip("there is no Chromium: apt install chromium, or playwright install")
        launched = playwright.chromium.launch(executable_path=found, args=_CHROMIUM_ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def page(site: Site, browser: Browser) -> Iterator[Page]:
    """A page that fails the test if its console has errors, or warnings of Vega.

    Refused requests are exempt: the browser reports them as errors, and some tests expect them.
    """
    context = browser.new_context(base_url=site.url)
    opened = context.new_page()
    messages: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        is_refusal = message.text.startswith("Failed to load resource")
        is_warning_of_vega = message.text.startswith("WARN ")
        if (message.type == "error" and not is_refusal) or is_warning_of_vega:
            messages.append(message.text)

    opened.on("console", listen)
    opened.on("pageerror", lambda error: messages.append(str(error)))
    yield opened
    context.close()
    assert not messages


@pytest.fixture
def http(site: Site) -> Iterator[httpx.Client]:
    """An HTTP client that is not a browser."""
    with httpx.Client(base_url=site.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of screenshots: ``SASAM_TEST_ARTIFACTS``, else a temporary one."""
    configured = os.environ.get("SASAM_TEST_ARTIFACTS")
    folder = Path(configured) if configured else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
