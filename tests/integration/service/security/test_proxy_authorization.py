"""What a proxy is told of a caller, so that one login opens MLflow too."""

from __future__ import annotations

import pytest

from service.security.access import Role
from service.security.sessions import COOKIE
from tests.support.guarded_site import Site


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_caller_without_a_token_gets_401_and_no_page(site: Site, accept: str) -> None:
    answer = site.ask("GET", "/auth", None, headers={"Accept": accept})
    assert answer.status_code == 401
    assert "location" not in answer.headers


@pytest.mark.parametrize("needed", list(Role))
@pytest.mark.parametrize("role", list(Role))
def test_role_that_suffices_passes(site: Site, role: Role, needed: Role) -> None:
    answer = site.ask("GET", f"/auth?role={needed}", role)
    assert answer.status_code == (204 if role.includes(needed) else 403)
    assert answer.headers.get("x-sasam-principal") == (
        f"{role}er" if role.includes(needed) else None
    )


def test_unknown_role_is_refused(site: Site) -> None:
    assert site.ask("GET", "/auth?role=root", Role.ADMIN).status_code == 422


def test_login_of_the_page_passes_until_it_ends(site: Site) -> None:
    login = site.ask("POST", "/login", None, data={"token": site.tokens[Role.SUBMIT]})
    cookie = {"Cookie": f"{COOKIE}={login.cookies[COOKIE]}"}
    site.client.cookies.clear()
    assert site.ask("GET", "/auth?role=submit", None, headers=cookie).status_code == 204
    site.ask("POST", "/logout", None, headers=cookie)
    assert site.ask("GET", "/auth", None, headers=cookie).status_code == 401
