"""Roles, and the rule that determines which role a request needs."""

from __future__ import annotations

import pytest

from service.security.access import Role, required_role


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/healthz", None),
        ("GET", "/static/app.js", None),
        ("POST", "/login", None),
        ("GET", "/", Role.READ),
        ("HEAD", "/sweeps/0", Role.READ),
        ("GET", "/metrics", Role.READ),
        ("GET", "/docs", Role.READ),
        ("GET", "/no/such/path", Role.READ),
        ("GET", "/healthz/", Role.READ),
        ("GET", "/static", Role.READ),
        ("GET", "//healthz", Role.READ),
        ("POST", "/api/v1/sweeps", Role.SUBMIT),
        ("GET", "/api/v1/sweeps/0/trials/1/checkpoint", Role.SUBMIT),
        ("GET", "/api/v1/sweeps/0/trials/1/checkpoint\n", Role.SUBMIT),
        ("POST", "/api/v1/sweeps/0/extend", Role.SUBMIT),
        ("POST", "/sweeps/0/pause", Role.SUBMIT),
        ("PATCH", "/api/v1/anything", Role.SUBMIT),
        ("DELETE", "/api/v1/sweeps/0", Role.ADMIN),
        ("POST", "/sweeps/0/delete", Role.ADMIN),
        ("POST", "/api/v1/sweeps/0/repair", Role.ADMIN),
        ("GET", "/api/v1/audit", Role.ADMIN),
        ("GET", "/api/v1/audit\n", Role.ADMIN),
        ("GET", "/prefix/api/v1/audit/", Role.ADMIN),
    ],
)
def test_required_role_of_a_request(method: str, path: str, role: Role | None) -> None:
    assert required_role(method, path) is role


def test_each_role_includes_those_before_it() -> None:
    assert [[a.includes(b) for b in Role] for a in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
