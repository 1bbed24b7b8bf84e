"""Settings that safety rests on, as an operator writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings


def test_lists_are_separated_by_commas_or_written_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SASAM_ALLOWED_HOSTS", "sasam.example, other.example,")
    monkeypatch.setenv("SASAM_WEBHOOK_URLS", '["https://hook.example/a?b=1,2"]')
    settings = Settings()
    assert settings.allowed_hosts == ("sasam.example", "other.example")
    assert [str(url) for url in settings.webhook_urls] == ["https://hook.example/a?b=1,2"]


@pytest.mark.parametrize("variable", ["SASAM_RAY_TOKEN_PATH", "SASAM_RAY_TOKEN_FILE"])
def test_rays_token_has_two_names(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "/run/secrets/ray")
    assert Settings().ray_token_path == Path("/run/secrets/ray")
    assert Settings(ray_token_path=Path("/other")).ray_token_path == Path("/other")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SASAM_AUTH", "no"),
        ("SASAM_ALLOW_CODE", "read"),
        ("SASAM_WEBHOOK_URLS", "file:///etc/passwd"),
        ("SASAM_WEBHOOK_URLS", "[1"),
        ("SASAM_SESSION_HOURS", "0"),
        ("SASAM_REQUESTS_PER_SECOND", "0"),
        ("SASAM_LOG_FORMAT", "xml"),
    ],
)
def test_bad_setting_is_refused(variable: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ValidationError):
        Settings()


def test_defaults_are_the_careful_ones() -> None:
    settings = Settings()
    assert settings.host == "127.0.0.1"
    assert settings.trusted_proxies == ()
    assert settings.webhook_private_addresses is False
