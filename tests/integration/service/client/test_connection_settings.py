"""Address and token of the service, from arguments, environment and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.client import Client, TokenFileError


@pytest.fixture
def sent_credentials(network: Any) -> Any:
    """Request the presets and return the credentials that the server received."""
    received: list[str | None] = []

    def answer(handler: Any) -> None:
        received.append(handler.headers.get("Authorization"))
        network.answer(handler, 200, b"[]")

    def ask(**options: Any) -> str | None:
        with network.server(answer) as url, Client(url, **options) as client:
            assert client.presets() == []
        return received[-1]

    return ask


def test_token_is_the_argument_then_the_variable_then_the_file(
    sent_credentials: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert sent_credentials() is None
    file = tmp_path / "token"
    file.write_text("in-file\n")
    monkeypatch.setenv("SASAM_TOKEN_FILE", str(file))
    assert sent_credentials() == "Bearer in-file"
    monkeypatch.setenv("SASAM_TOKEN", "in-variable")
    assert sent_credentials() == "Bearer in-variable"
    assert sent_credentials(token="gi" + "ven") == "Bearer given"
    assert sent_credentials(headers={"Authorization": "Basic x"}) == "Basic x"


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), ("", "is empty"), ("two words", "copy it")],
)
def test_token_file_without_a_token_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, message: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SASAM_TOKEN_FILE", str(file))
    with pytest.raises(TokenFileError, match=message):
        Client()


def test_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with Client() as client:
        assert client.base_url == "http://127.0.0.1:8420"
    monkeypatch.setenv("SASAM_URL", "http://elsewhere:1/")
    with Client() as client:
        assert client.base_url == "http://elsewhere:1"
