"""Pages of a service that requires tokens: they offer what the caller's role allows."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from playwright.sync_api import Browser, Error, Page, expect

from service.security.access import Role
from service.security.tokens import Tokens
from tests.support.pages_site import look_away_and_back


def _log_in(browser: Browser, guarded: Any, role: Role) -> Page:
    token = Tokens(guarded.database).create(f"a-{role}", role)
    page = browser.new_context(base_url=guarded.url).new_page()
    page.goto("/new?preset=digits")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("New sweep")
    return page


def test_submitter_submits_and_follows(browser: Browser, guarded: Any) -> None:
    page = _log_in(browser, guarded, Role.SUBMIT)
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("digits queued")
    guarded.run(page.url.rpartition("/")[2])
    expect(page.get_by_role("heading", level=1)).to_contain_text("running")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("pausing")
    page.get_by_role("link", name="a-submit").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    page.context.close()


def test_reader_sees_no_button_that_would_be_refused(browser: Browser, guarded: Any) -> None:
    sweep_id, _ = guarded.submit("read-only")
    page = _log_in(browser, guarded, Role.READ)
    expect(page.get_by_text("may read, but not submit")).to_be_visible()
    expect(page.get_by_role("button", name="Submit")).to_have_count(0)
    page.goto(f"/sweeps/{sweep_id}")
    expect(page.locator(".commands")).to_be_empty()
    page.context.close()


def test_page_leads_to_the_form_when_the_login_is_over(browser: Browser, guarded: Any) -> None:
    sweep_id, _ = guarded.submit("outlived")
    page = _log_in(browser, guarded, Role.ADMIN)
    page.goto(f"/sweeps/{sweep_id}")
    Tokens(guarded.database).revoke("a-admin")
    with suppress(Error):  # the page may navigate by itself meanwhile
        look_away_and_back(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    page.context.close()
