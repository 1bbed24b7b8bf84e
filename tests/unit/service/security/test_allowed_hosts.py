"""Names the service goes by."""

from __future__ import annotations

import pytest

from service.security.allowed_hosts import require_known_host
from service.security.errors import MisdirectedProblem


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost:8420", ()),
        ("LOCALHOST", ()),
        ("127.0.0.1:8420", ()),
        ("[::1]:8420", ()),
        ("192.0.2.7", ()),
        ("sasam.example:443", ("sasam.example",)),
        ("anything.example", ("*",)),
        ("testserver", ()),
    ],
)
def test_known_host_passes(host: str, allowed: tuple[str, ...]) -> None:
    require_known_host(host, "testserver", allowed)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8420",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "sasam.example.evil.example",
        "[evil.example]",
        "localhost@evil.example",
        "",
        None,
    ],
)
def test_other_host_is_refused_with_those_allowed(host: str | None) -> None:
    with pytest.raises(MisdirectedProblem) as refused:
        require_known_host(host, "127.0.0.1", ("sasam.example",))
    assert refused.value.extra["allowed"] == ["localhost", "sasam.example"]
    assert "SASAM_ALLOWED_HOSTS" in refused.value.detail
