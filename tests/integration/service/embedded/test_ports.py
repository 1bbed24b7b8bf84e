"""Ports are chosen once, kept, and never shared."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager
from dataclasses import astuple
from pathlib import Path

import pytest

from service.embedded.errors import EmbeddedError, PortInUseError
from service.embedded.ports import Ports, claim_ports


def claim(
    file: Path,
    *,
    host: str = "127.0.0.1",
    fixed: dict[str, tuple[int, str]] | None = None,
    moves: list[str] | None = None,
) -> AbstractContextManager[Ports]:
    return claim_ports(
        file,
        host=host,
        first=9_100,
        fixed=fixed or {},
        on_move=moves.append if moves is not None else pytest.fail,
    )


def listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def test_claim_ports_two_homes_share_none(tmp_path: Path) -> None:
    with claim(tmp_path / "a") as a, claim(tmp_path / "b") as b:
        assert len({*astuple(a), *astuple(b)}) == 2 * len(astuple(a))


def test_claim_ports_again_gives_the_same(tmp_path: Path) -> None:
    with claim(tmp_path / "a") as before:
        pass
    with claim(tmp_path / "b"):  # another home takes the lowest ones
        pass
    with claim(tmp_path / "a") as after:
        assert after == before


def test_claim_ports_remembered_port_in_use_moves_that_one(tmp_path: Path) -> None:
    moves: list[str] = []
    with claim(tmp_path / "a") as before:
        pass
    with listen(before.mlflow), claim(tmp_path / "a", moves=moves) as after:
        assert after.mlflow not in astuple(before)
        assert after.service == before.service
    assert moves == [f"Port {before.mlflow} of mlflow is in use; moved to port {after.mlflow}."]
    with claim(tmp_path / "a") as later:
        assert later == after


def test_claim_ports_fixed_port_in_use_names_port_and_variable(tmp_path: Path) -> None:
    with listen(0) as server:
        port = server.getsockname()[1]
        expected = pytest.raises(PortInUseError, match=f"Port {port}, set by SASAM_PORT, is in use")
        with expected, claim(tmp_path / "a", fixed={"service": (port, "SASAM_PORT")}):
            pass


def test_claim_ports_fixed_port_is_kept_from_the_others(tmp_path: Path) -> None:
    with claim(tmp_path / "a", fixed={"ray_gcs": (9_100, "X")}) as ports:
        assert ports.ray_gcs == 9_100
        assert astuple(ports).count(9_100) == 1


def test_claim_ports_unreadable_memory_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("[1, 2]")
    with claim(tmp_path / "a") as ports:
        assert ports.service >= 9_100


def test_claim_ports_foreign_address_is_named(tmp_path: Path) -> None:
    expected = pytest.raises(EmbeddedError, match=r"Cannot listen on 192\.0\.2\.77, port 9100")
    with expected, claim(tmp_path / "a", host="192.0.2.77"):
        pass
