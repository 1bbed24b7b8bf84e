"""Address, token and version: what the client shows, and what it makes of theirs."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from service.client import Client, TokenFileError, UnreadableError, VersionWarning


@pytest.fixture
def shown(network: Any) -> Any:
    """Asks a server for the presets and tells which credentials came."""
    came: list[str | None] = []

    def answer(handler: Any) -> None:
        came.append(handler.headers.get("Authorization"))
        network.answer(handler, 200, b"[]")

    def ask(**options: Any) -> str | None:
        with network.server(answer) as url, Client(url, **options) as client:
            assert client.presets() == []
        return came[-1]

    return ask


def test_token_is_the_argument_then_the_variable_then_the_file(
    shown: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert shown() is None
    file = tmp_path / "token"
    file.write_text("in-file\n")
    monkeypatch.setenv("SASAM_TOKEN_FILE", str(file))
    assert shown() == "Bearer in-file"
    monkeypatch.setenv("SASAM_TOKEN", "in-variable")
    assert shown() == "Bearer in-variable"
    assert shown(token="gi" + "ven") == "Bearer given"
    assert shown(headers={"Authorization": "Basic x"}) == "Basic x"


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), ("", "is empty"), ("two words", "copy it")]
)
def test_token_file_that_holds_none_is_told(
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


def test_service_of_another_version_is_warned_of_once(network: Any) -> None:
    def answer(handler: Any) -> None:
        network.answer(handler, 200, b"[]", Sasam_Version="99.1.0")

    with network.server(answer) as url, Client(url) as client:
        with pytest.warns(VersionWarning, match=r"is sasam 99\.1\.0, this client"):
            client.presets()
        assert client.presets() == []  # a second warning would be an error


def test_service_of_the_same_minor_version_is_not_warned_of(network: Any) -> None:
    major, minor = version("sasam").split(".")[:2]

    def answer(handler: Any) -> None:
        network.answer(handler, 200, b"[]", Sasam_Version=f"{major}.{minor}.99")

    with network.server(answer) as url, Client(url) as client:
        assert client.presets() == []  # a warning would be an error


def test_answer_of_an_unknown_form_names_the_versions(network: Any) -> None:
    with (
        network.server(lambda handler: network.answer(handler, 200, b'{"new": 1}')) as url,
        Client(url) as client,
        pytest.raises(UnreadableError, match=f"the client {version('sasam')}: install the same"),
    ):
        client.presets()
