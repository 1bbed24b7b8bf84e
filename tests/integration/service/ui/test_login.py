"""Logging in to the page and out again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from service.security.access import Role
from service.security.sessions import COOKIE
from service.security.tokens import Tokens
from service.storage.security_tables import SessionRow
from tests.support.pages_site import Site

PAGE = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def browser(site: Site) -> Iterator[TestClient]:
    """A browser of its own, that shows where it is sent instead of going there."""
    client = TestClient(site.client.app, follow_redirects=False, headers=PAGE)
    yield client
    client.close()


def log_in(browser: TestClient, token: str, target: str = "/") -> httpx.Response:
    return browser.post("/login", data={"token": token, "next": target})


def test_page_without_login_leads_to_the_form_and_back(site: Site, browser: TestClient) -> None:
    sent = browser.get("/?state=failed&q=a%20b")
    assert sent.status_code == 303
    assert sent.headers["location"].startswith("/login?next=%2F%3Fstate%3Dfailed")
    form = browser.get(sent.headers["location"])
    assert form.status_code == 200
    assert 'name="next" value="/?state=failed&amp;q=a%20b"' in form.text
    answer = log_in(browser, site.tokens[Role.READ], "/?state=failed&q=a%20b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?state=failed&q=a%20b")
    assert browser.get("/").status_code == 200
    assert "readeer" not in browser.get("/login").text
    assert "reader" in browser.get("/login").text


def test_cookie_is_out_of_reach_and_is_no_token(site: Site, browser: TestClient) -> None:
    answer = log_in(browser, site.tokens[Role.READ])
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie
    assert site.tokens[Role.READ] not in cookie
    with TestClient(site.client.app, base_url="https://testserver") as encrypted:
        encrypted.follow_redirects = False
        assert "Secure" in log_in(encrypted, site.tokens[Role.READ]).headers["set-cookie"]


@pytest.mark.parametrize("token", ["", "wrong", "x" * 5000])
def test_wrong_token_opens_no_session(browser: TestClient, token: str) -> None:
    answer = log_in(browser, token)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "not valid" in answer.text


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "/x\r\nSet-Cookie: a=b",
        "/login?next=/login",
        "",
    ],
)
def test_login_sends_nobody_to_another_site(site: Site, browser: TestClient, target: str) -> None:
    answer = log_in(browser, site.tokens[Role.READ], target)
    assert answer.headers["location"] == "/"
    assert "a=b" not in answer.headers["set-cookie"]


def test_login_from_another_sites_form_is_refused(site: Site, browser: TestClient) -> None:
    for path in ("/login", "/logout"):
        answer = browser.post(
            path,
            data={"token": site.tokens[Role.READ]},
            headers={"Origin": "https://evil.example"},
        )
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_session_has_the_role_of_its_token(site: Site, browser: TestClient) -> None:
    sweep_id = site.submit()
    log_in(browser, site.tokens[Role.READ])
    refused = browser.post(f"/sweeps/{sweep_id}/pause")
    assert refused.status_code == 403
    assert "this needs submit" in refused.text
    log_in(browser, site.tokens[Role.SUBMIT])
    assert browser.post(f"/sweeps/{sweep_id}/pause").status_code == 303


def test_command_with_a_cookie_from_another_site_is_refused(
    site: Site, browser: TestClient
) -> None:
    sweep_id = site.submit()
    log_in(browser, site.tokens[Role.ADMIN])
    for path in (f"/sweeps/{sweep_id}/cancel", f"/api/v1/sweeps/{sweep_id}/cancel"):
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert browser.post(path, headers=headers).status_code == 403
    assert site.ask("GET", f"/api/v1/sweeps/{sweep_id}", Role.READ).json()["state"] == "queued"


def test_logout_ends_the_session_wherever_its_cookie_is(site: Site, browser: TestClient) -> None:
    log_in(browser, site.tokens[Role.READ])
    cookie = browser.cookies[COOKIE]
    assert browser.post("/logout").headers["location"] == "/login"
    assert COOKIE not in browser.cookies
    browser.cookies[COOKIE] = cookie
    assert browser.get("/").status_code == 303


def test_expired_session_leads_pages_to_the_form_and_programs_to_a_problem(
    site: Site, browser: TestClient
) -> None:
    log_in(browser, site.tokens[Role.READ])
    assert browser.get("/").status_code == 200
    past = datetime.now(UTC) - timedelta(seconds=1)
    with site.database.transaction() as session:
        session.execute(update(SessionRow).values(expires_at=past))
    assert browser.get("/").headers["location"] == "/login"
    problem = browser.get("/api/v1/sweeps", headers={"Accept": "application/json"})
    assert problem.status_code == 401
    assert problem.json()["type"] == "urn:sasam:not-authenticated"
    part = browser.get("/", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login")


def test_revoked_token_ends_its_sessions_at_once(site: Site, browser: TestClient) -> None:
    tokens = Tokens(site.database)
    log_in(browser, tokens.create("leaving", Role.READ))
    assert browser.get("/").status_code == 200
    tokens.revoke("leaving")
    assert browser.get("/").status_code == 303
