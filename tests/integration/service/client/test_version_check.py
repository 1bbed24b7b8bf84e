"""Versions of client and service: warnings, and errors of unreadable responses."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

from service.client import Client, UnreadableError, VersionWarning


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


def test_unreadable_response_names_both_versions(network: Any) -> None:
    with (
        network.server(lambda handler: network.answer(handler, 200, b'{"new": 1}')) as url,
        Client(url) as client,
        pytest.raises(UnreadableError, match=f"the client {version('sasam')}: install the same"),
    ):
        client.presets()
