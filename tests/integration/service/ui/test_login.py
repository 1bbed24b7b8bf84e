"""Login and logout of pages, and the sessions behind them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from service.security.access import Role
from service.security.sessions import COOKIE
from service.security.tokens import Tokens
from service.storage.security_tables import SessionRow

PAGE = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture(scope="module")
def tokens(guarded: Any) -> dict[Role, str]:
    """One token of each role."""
    return {role: Tokens(guarded.database).create(f"login-{role}", role) for role in Role}


@pytest.fixture
def visitor(guarded: Any) -> Iterator[httpx.Client]:
    """A client that accepts pages, keeps cookies and does not follow redirects."""
    with httpx.Client(base_url=guarded.url, headers=PAGE, timeout=30) as client:
        yield client


def log_in(visitor: httpx.Client, token: str, target: str = "/", **headers: str) -> httpx.Response:
    return visitor.post("/login", data={"token": token, "next": target}, headers=headers)


def test_page_without_a_session_redirects_to_the_login_and_back(
    tokens: dict[Role, str], visitor: httpx.Client
) -> None:
    redirect = visitor.get("/?state=failed&q=a%20b")
    assert redirect.status_code == 303
    assert redirect.headers["location"].startswith("/login?next=%2F%3Fstate%3Dfailed")
    form = visitor.get(redirect.headers["location"])
    assert form.status_code == 200
    assert 'name="next" value="/?state=failed&amp;q=a%20b"' in form.text
    answer = log_in(visitor, tokens[Role.READ], "/?state=failed&q=a%20b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?state=failed&q=a%20b")
    assert visitor.get("/").status_code == 200
    assert "login-read" in visitor.get("/login").text


def test_cookie_is_hidden_from_scripts_and_is_not_the_token(
    tokens: dict[Role, str], visitor: httpx.Client
) -> None:
    cookie = log_in(visitor, tokens[Role.READ]).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie
    assert tokens[Role.READ] not in cookie
    encrypted = log_in(visitor, tokens[Role.READ], **{"X-Forwarded-Proto": "https"})
    assert "Secure" in encrypted.headers["set-cookie"]


@pytest.mark.parametrize("token", ["", "wrong", "x" * 5000])
def test_wrong_token_opens_no_session(visitor: httpx.Client, token: str) -> None:
    answer = log_in(visitor, token)
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
def test_login_never_redirects_to_another_site(
    tokens: dict[Role, str], visitor: httpx.Client, target: str
) -> None:
    answer = log_in(visitor, tokens[Role.READ], target)
    assert answer.headers["location"] == "/"
    assert "a=b" not in answer.headers["set-cookie"]


@pytest.mark.parametrize("path", ["/login", "/logout"])
def test_form_from_another_site_is_refused(
    tokens: dict[Role, str], visitor: httpx.Client, path: str
) -> None:
    form = {"token": tokens[Role.READ]}
    answer = visitor.post(path, data=form, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_session_has_the_role_of_its_token(
    guarded: Any, tokens: dict[Role, str], visitor: httpx.Client
) -> None:
    sweep_id, _ = guarded.submit("roles")
    log_in(visitor, tokens[Role.READ])
    refused = visitor.post(f"/sweeps/{sweep_id}/pause")
    assert refused.status_code == 403
    assert "this needs submit" in refused.text
    log_in(visitor, tokens[Role.SUBMIT])
    assert visitor.post(f"/sweeps/{sweep_id}/pause").status_code == 303


def test_command_from_another_site_is_refused_in_spite_of_the_cookie(
    guarded: Any, tokens: dict[Role, str], visitor: httpx.Client
) -> None:
    sweep_id, _ = guarded.submit("foreign")
    log_in(visitor, tokens[Role.ADMIN])
    for path in (f"/sweeps/{sweep_id}/cancel", f"/api/v1/sweeps/{sweep_id}/cancel"):
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert visitor.post(path, headers=headers).status_code == 403
    assert visitor.get(f"/api/v1/sweeps/{sweep_id}").json()["state"] == "queued"


def test_logout_ends_the_session_of_every_copy_of_its_cookie(
    tokens: dict[Role, str], visitor: httpx.Client
) -> None:
    log_in(visitor, tokens[Role.READ])
    cookie = visitor.cookies[COOKIE]
    assert visitor.post("/logout").headers["location"] == "/login"
    assert COOKIE not in visitor.cookies
    visitor.cookies.set(COOKIE, cookie)
    assert visitor.get("/").status_code == 303


def test_expired_session_redirects_pages_and_answers_programs_with_a_problem(
    guarded: Any, tokens: dict[Role, str], visitor: httpx.Client
) -> None:
    log_in(visitor, tokens[Role.READ])
    assert visitor.get("/").status_code == 200
    past = datetime.now(UTC) - timedelta(seconds=1)
    with guarded.database.transaction() as session:
        session.execute(update(SessionRow).values(expires_at=past))
    assert visitor.get("/").headers["location"] == "/login"
    problem = visitor.get("/api/v1/sweeps", headers={"Accept": "application/json"})
    assert problem.status_code == 401
    assert problem.json()["type"] == "urn:sasam:not-authenticated"
    section = visitor.get("/", headers={"HX-Request": "true"})
    assert (section.status_code, section.headers["hx-redirect"]) == (401, "/login")


def test_revoked_token_ends_its_sessions_at_once(guarded: Any, visitor: httpx.Client) -> None:
    tokens = Tokens(guarded.database)
    log_in(visitor, tokens.create("leaving", Role.READ))
    assert visitor.get("/").status_code == 200
    tokens.revoke("leaving")
    assert visitor.get("/").status_code == 303
