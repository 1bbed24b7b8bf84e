"""The gate: every route with every role, and attempts to bypass it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import update
from starlette.routing import Mount
from starlette.testclient import TestClient

from service.app import create_app
from service.security.access import Role
from service.security.tokens import Tokens
from service.states import SweepState
from service.storage.security_tables import TokenRow
from service.sweeps.lifecycle import transition
from tests.support.guarded_site import SPECIFICATION, Site, open_site, settings_for

OPEN = {"/healthz", "/readyz", "/login", "/logout"}
PLACES = {"sweep_id": "0123456789ab", "key": "abc", "name": "best", "command": "pause"}


def every_request(app: Any) -> Iterator[tuple[str, str]]:
    """Method and path of all that the application answers."""
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, Mount):
            yield "GET", f"{context.path}/no-such-file"
            continue
        path = str(context.path_format or context.path)
        places = PLACES | {"attempt": "1", "number": "1"}
        for method in context.methods or {"GET"}:
            yield method, path.format_map(places)


def test_every_route_but_those_listed_needs_a_token(site: Site) -> None:
    asked = list(every_request(site.client.app))
    assert len(asked) > 40
    for method, path in asked:
        answer = site.ask(method, path, None)
        if path in OPEN or path.startswith("/static/"):
            assert "www-authenticate" not in answer.headers, (method, path)
        else:
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert "paths" not in answer.text


def test_every_route_that_changes_state_refuses_readers(site: Site) -> None:
    changing = {
        (method, path)
        for method, path in every_request(site.client.app)
        if method not in {"GET", "HEAD"} and path not in OPEN
    }
    assert len(changing) > 8
    for method, path in changing:
        answer = site.ask(method, path, Role.READ)
        assert answer.status_code == 403, (method, path)
        assert answer.json()["type"] == "urn:sasam:role-too-low"


def test_every_route_that_changes_state_refuses_pages_of_other_sites(site: Site) -> None:
    for method, path in every_request(site.client.app):
        if method in {"GET", "HEAD"}:
            continue
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": "http://testserver"},
        ):
            answer = site.ask(method, path, Role.ADMIN, headers=headers)
            assert answer.status_code == 403, (method, path, headers)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/v1/sweeps", {Role.READ, Role.SUBMIT, Role.ADMIN}),
        ("GET", "/", {Role.READ, Role.SUBMIT, Role.ADMIN}),
        ("GET", "/metrics", {Role.READ, Role.SUBMIT, Role.ADMIN}),
        ("POST", "/api/v1/sweeps?dry_run=true", {Role.SUBMIT, Role.ADMIN}),
        ("POST", "/api/v1/sweeps/{}/extend?dry_run=true", {Role.SUBMIT, Role.ADMIN}),
        ("POST", "/api/v1/sweeps/{}/pause", {Role.SUBMIT, Role.ADMIN}),
        ("POST", "/sweeps/{}/pause", {Role.SUBMIT, Role.ADMIN}),
        ("DELETE", "/api/v1/sweeps/{}", {Role.ADMIN}),
        ("POST", "/sweeps/{}/delete", {Role.ADMIN}),
        ("GET", "/api/v1/audit", {Role.ADMIN}),
    ],
)
def test_role_matrix(site: Site, method: str, path: str, allowed: set[Role]) -> None:
    for role in Role:
        content = SPECIFICATION if "dry_run" in path else None
        target = path.format(site.submit(ended="delete" in path or method == "DELETE"))
        answer = site.ask(method, target, role, content=content)
        assert answer.status_code < 500, answer.text
        assert (answer.status_code not in {401, 403, 404}) == (role in allowed), (role, answer.text)


@pytest.mark.parametrize(
    "header",
    ["Bearer wrong", "Bearer ", "Bearer", "Basic YWRtaW46YWRtaW4=", "{}", "Bearer {} {}"],
)
def test_wrong_token_is_refused(site: Site, header: str) -> None:
    token = site.tokens[Role.ADMIN]
    answer = site.ask(
        "GET", "/api/v1/sweeps", None, headers={"Authorization": header.replace("{}", token)}
    )
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert token not in answer.text


def test_token_that_was_revoked_or_is_over_is_refused_at_once(site: Site) -> None:
    tokens = Tokens(site.database)
    token = tokens.create("passing", Role.READ)
    headers = {"Authorization": f"Bearer {token}"}
    assert site.ask("GET", "/api/v1/sweeps", None, headers=headers).status_code == 200
    past = datetime.now(UTC) - timedelta(seconds=1)
    with site.database.transaction() as session:
        session.execute(update(TokenRow).where(TokenRow.name == "passing").values(expires_at=past))
    assert site.ask("GET", "/api/v1/sweeps", None, headers=headers).status_code == 401
    tokens.revoke("passing")
    assert site.ask("GET", "/api/v1/sweeps", None, headers=headers).status_code == 401


def test_token_in_the_address_is_no_token(site: Site) -> None:
    token = site.tokens[Role.ADMIN]
    assert site.ask("GET", f"/api/v1/sweeps?token={token}", None).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8420", "localhost.evil.example"])
@pytest.mark.parametrize("path", ["/healthz", "/api/v1/sweeps", "/login"])
def test_forged_host_is_refused_with_the_names_there_are(site: Site, host: str, path: str) -> None:
    answer = site.ask("GET", path, Role.ADMIN, headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["allowed"] == ["localhost"]


@pytest.mark.parametrize(
    "path",
    [
        "/static/..%2f..%2fsettings.py",
        "/static/%2e%2e/%2e%2e/settings.py",
        "/static/..%5c..%5csettings.py",
        "/static//etc/passwd",
        "/api/v1/presets/..%2f..%2fspec%2f__init__",
        "/api/v1/presets/%00",
        "/api/v1/sweeps/..%2f..%2fetc",
        "/api/v1/sweeps/%00/trials",
        "/sweeps/..%2f/trials",
        "/healthz%2f..%2fapi/v1/sweeps",
        "//api/v1/sweeps",
    ],
)
def test_path_traversal_is_refused(site: Site, path: str) -> None:
    for role in (None, Role.ADMIN):
        request = site.client.build_request("GET", "http://testserver/")
        raw = path.encode()
        request.url = request.url.copy_with(raw_path=raw)
        if role:
            request.headers["Authorization"] = f"Bearer {site.tokens[role]}"
        answer = site.client.send(request, follow_redirects=False)
        assert answer.status_code in ({401, 404, 422} if role is None else {404, 422}), answer.text
        assert "SASAM_" not in answer.text
        assert "root:" not in answer.text


@pytest.mark.parametrize("path", ["/?q=%00", "/?q=a%00b", "/api/v1/sweeps?name=%00"])
def test_zero_byte_is_refused_before_a_database_sees_it(site: Site, path: str) -> None:
    answer = site.ask("GET", path, Role.READ)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:sasam:zero-byte"


def test_command_is_recorded_with_who_what_and_outcome(site: Site) -> None:
    sweep_id = site.submit()
    site.ask("POST", f"/api/v1/sweeps/{sweep_id}/pause", Role.SUBMIT)
    site.ask("POST", f"/api/v1/sweeps/{sweep_id}/pause", Role.SUBMIT)
    site.ask("POST", f"/api/v1/sweeps/{sweep_id}/pause?dry_run=true", Role.READ)
    site.ask("DELETE", f"/api/v1/sweeps/{sweep_id}", Role.ADMIN)
    site.ask("POST", "/api/v1/sweeps?dry_run=true", Role.SUBMIT, content=SPECIFICATION)
    dry = f"/api/v1/sweeps/{sweep_id}/extend?dry_run=true"
    site.ask("POST", dry, Role.SUBMIT, content=SPECIFICATION)
    site.ask("POST", f"/api/v1/sweeps/{sweep_id}/pause", None)
    page = site.ask("GET", f"/api/v1/audit?sweep={sweep_id}", Role.ADMIN).json()
    pause = "POST /api/v1/sweeps/{sweep_id}/pause"
    assert [(e["actor"], e["command"], e["status"]) for e in reversed(page["entries"])] == [
        ("submiter", "POST /api/v1/sweeps", 201),
        ("submiter", pause, 200),
        ("submiter", pause, 409),
        ("reader", f"POST /api/v1/sweeps/{sweep_id}/pause", 403),
        ("adminer", "DELETE /api/v1/sweeps/{sweep_id}", 409),
    ]
    assert {entry["address"] for entry in page["entries"]} == {"testclient"}


def test_audit_is_read_in_pages(site: Site) -> None:
    sweep_id = site.submit()
    for _ in range(4):
        site.ask("POST", f"/api/v1/sweeps/{sweep_id}/pause", Role.SUBMIT)
    seen: list[int] = []
    before: int | None = 2**31 - 1
    while before is not None:
        query = f"/api/v1/audit?sweep={sweep_id}&limit=2&before={before}"
        page = site.ask("GET", query, Role.ADMIN).json()
        seen += [entry["number"] for entry in page["entries"]]
        before = page["next_before"]
    assert len(seen) == 5
    assert seen == sorted(seen, reverse=True)


def test_every_response_has_security_headers(site: Site) -> None:
    sweep_id = site.submit()
    for path, role in (
        ("/", Role.READ),
        (f"/sweeps/{sweep_id}", Role.READ),
        ("/login", None),
        ("/static/app.js", None),
        ("/healthz", None),
        ("/api/v1/sweeps", Role.READ),
        ("/api/v1/sweeps", None),
        ("/docs", Role.READ),
        ("/no/such/path", Role.READ),
    ):
        headers = site.ask("GET", path, role).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "same-origin", path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert "script-src 'unsafe" not in headers["content-security-policy"], path
        assert "unsafe-eval" not in headers["content-security-policy"], path
        assert "https:" not in headers["content-security-policy"], path


def test_page_of_the_document_needs_no_other_site(site: Site) -> None:
    page = site.ask("GET", "/docs", Role.READ).text
    files = re.findall(r'(?:src|href)="([^"#]+\.(?:js|css|svg))"', page)
    assert {"/static/docs.js", "/static/vendor/swagger-ui-bundle.js"} <= set(files)
    for path in files:
        assert site.ask("GET", path, None).status_code == 200, path
    assert "http://" not in page
    assert "https://" not in page
    assert site.ask("GET", "/redoc", Role.READ).status_code == 404


def test_rate_limit_gives_the_time_to_wait(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, auth="required", requests_per_second=0.01, request_burst=2)
    with TestClient(create_app(settings)) as client:
        tokens = Tokens(client.app.state.services.database)  # type: ignore[attr-defined]
        one, two = (
            {"Authorization": f"Bearer {tokens.create(name, Role.READ)}"} for name in ("one", "two")
        )
        codes = [client.get("/api/v1/sweeps", headers=one).status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        refused = client.get("/api/v1/sweeps", headers=one)
        assert 0 < int(refused.headers["retry-after"]) <= 100
        assert refused.headers["content-type"] == "application/problem+json"
        assert client.get("/api/v1/sweeps", headers=two).status_code == 200
        guesses = [client.get("/api/v1/sweeps").status_code for _ in range(3)]
        assert guesses == [401, 401, 429]
        assert client.get("/healthz").status_code == 429


def test_service_without_tokens_has_no_rate_limit_and_local_administrators(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path, requests_per_second=0.01, request_burst=1)
    with TestClient(create_app(settings)) as client:
        for _ in range(3):
            assert client.get("/api/v1/sweeps").status_code == 200
        assert client.post("/api/v1/sweeps", content=SPECIFICATION).status_code == 201
        (entry,) = client.get("/api/v1/audit").json()["entries"]
        assert entry["actor"] == "local"
        tokens = Tokens(client.app.state.services.database)  # type: ignore[attr-defined]
        tokens.create("first", Role.READ)
        client.app.state.services.authentication._checked_at = float("-inf")  # type: ignore[attr-defined]
        assert client.get("/api/v1/sweeps").status_code == 401


@pytest.mark.parametrize("listening", ["192.0.2.1", "0.0.0.0", "::ffff:192.0.2.1", "fe80::1"])  # noqa: S104
def test_service_without_tokens_refuses_requests_to_other_addresses(
    tmp_path: Path, listening: str
) -> None:
    app = create_app(settings_for(tmp_path))
    url = f"http://[{listening}]" if ":" in listening else f"http://{listening}"
    with TestClient(app, base_url=url) as client:
        assert client.get("/healthz").status_code == 200
        answer = client.get("/api/v1/sweeps")
        assert answer.status_code == 403
        assert "sasam token create" in answer.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Proto": "https"},
        {"Forwarded": "for=203.0.113.9"},
        {"X-Real-IP": "203.0.113.9"},
        {"Via": "1.1 proxy.example"},
        {"CF-Connecting-IP": "203.0.113.9"},
        {"Host": "203.0.113.5"},
        {"Host": "[2001:db8::5]:8420"},
        {"Host": "0.0.0.0:8420"},
    ],
)
def test_service_without_tokens_refuses_forwarded_requests(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    app = create_app(settings_for(tmp_path))
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 5000)) as client:
        assert client.get("/api/v1/audit").status_code == 200
        for path in ("/api/v1/audit", "/", "/metrics", "/auth", "/login"):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 403, (path, answer.text)
        assert client.get("/healthz", headers=headers).status_code == 200


@pytest.mark.parametrize("caller", ["203.0.113.9", "::ffff:203.0.113.9", "fe80::1%eth0"])
def test_service_without_tokens_refuses_callers_on_other_machines(
    tmp_path: Path, caller: str
) -> None:
    app = create_app(settings_for(tmp_path))
    with TestClient(app, base_url="http://127.0.0.1", client=(caller, 5000)) as client:
        assert client.get("/api/v1/audit").status_code == 403


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://[x]y", "//", "://", "\xff"])
def test_malformed_origin_is_another_sites(site: Site, origin: str) -> None:
    for path in ("/login", "/logout", "/new", "/new/check", "/api/v1/sweeps", "/sweeps/0/pause"):
        answer = site.ask("POST", path, Role.ADMIN, headers={"Origin": origin.encode("latin-1")})
        assert answer.status_code == 403, (path, answer.text)


@pytest.mark.parametrize("path", ["/login", "/new", "/new/check", "/sweeps/0/pause"])
def test_form_of_many_fields_is_refused_with_how_many_are_allowed(site: Site, path: str) -> None:
    form = "&".join(f"field{number}=x" for number in range(101))
    answer = site.ask("POST", path, Role.ADMIN, content=form)
    assert answer.status_code == 422
    assert "form has 101 fields; at most 100 are allowed" in answer.text


@pytest.mark.parametrize("length", ["9" * 5_000, "9" * 30])
def test_announced_length_beyond_any_number_is_too_large(site: Site, length: str) -> None:
    answer = site.ask("POST", "/login", None, headers={"Content-Length": length})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "path", ["/api/v1/au\tdit", "/log\nin", "/static/\r../metrics", "/x?y", "/x#y"]
)
def test_role_is_that_of_the_path_which_routing_sees(site: Site, path: str) -> None:
    answer = site.ask("GET", quote(path), None)
    assert answer.status_code == (404 if path.startswith("/static/") else 401), answer.text


def test_refused_command_to_an_unprintable_path_is_recorded_as_it_was_sent(site: Site) -> None:
    path = "/api/v1/sweeps/a%00%0Ab/pause"
    assert site.ask("POST", path, Role.READ).status_code == 403
    page = site.ask("GET", "/api/v1/audit?limit=1", Role.ADMIN).json()
    assert page["entries"][0]["command"] == f"POST {path}"


def test_priority_of_a_submitter_is_bounded_and_an_administrators_is_not(site: Site) -> None:
    urgent = f"{SPECIFICATION}priority: 1\n"
    for path in ("/api/v1/sweeps", "/api/v1/sweeps?dry_run=true"):
        answer = site.ask("POST", path, Role.SUBMIT, content=urgent)
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert (error["path"], error["value"]) == ("priority", "1")
        assert "at most 0 for the role submit" in error["message"]
        assert site.ask("POST", path, Role.ADMIN, content=urgent).status_code < 300
    for path in ("/new", "/new/check"):
        page = site.ask("POST", path, Role.SUBMIT, data={"specification": urgent})
        assert "at most 0 for the role submit" in page.text


def test_submitter_at_the_limit_is_refused_until_a_sweep_has_ended(tmp_path: Path) -> None:
    with open_site(settings_for(tmp_path, max_sweeps_per_submitter=1)) as site:
        sweep_id = site.submit()
        refused = site.ask("POST", "/api/v1/sweeps", Role.SUBMIT, content=SPECIFICATION)
        assert refused.status_code == 409
        problem = refused.json()
        assert problem["type"] == "urn:sasam:too-many-sweeps"
        assert (problem["submitter"], problem["value"], problem["limit"]) == ("submiter", 2, 1)
        page = site.ask("POST", "/new", Role.SUBMIT, data={"specification": SPECIFICATION})
        assert (page.status_code, "at most 1 are allowed" in page.text) == (409, True)
        answer = site.ask("POST", "/api/v1/sweeps", Role.ADMIN, content=SPECIFICATION)
        assert (answer.status_code, answer.json()["creator"]) == (201, "adminer")
        with site.database.transaction() as session:
            assert transition(session, sweep_id, SweepState.QUEUED, SweepState.FAILED)
        again = site.ask("POST", "/api/v1/sweeps", Role.SUBMIT, content=SPECIFICATION)
        assert again.status_code == 201


def test_idempotency_key_is_the_tokens_own(site: Site) -> None:
    headers = {"Idempotency-Key": "shared-by-chance"}
    answers = [
        site.ask("POST", "/api/v1/sweeps", role, content=SPECIFICATION, headers=headers)
        for role in (Role.SUBMIT, Role.ADMIN, Role.SUBMIT)
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 200]
    mine, theirs, again = (answer.json()["sweep_id"] for answer in answers)
    assert (mine != theirs, mine == again) == (True, True)
    other = SPECIFICATION.replace("small", "other")
    blocked = site.ask("POST", "/api/v1/sweeps", Role.ADMIN, content=other, headers=headers)
    assert mine not in blocked.text  # nobody learns of another's sweep by its key


def test_form_id_of_any_bytes_is_stored(site: Site) -> None:
    for form in ("\0", "x" * 5_000, "\ud800".encode("utf-8", "surrogatepass"), "\u202e"):
        data = {"specification": SPECIFICATION, "form": form}
        assert site.ask("POST", "/new", Role.SUBMIT, data=data).status_code == 303
