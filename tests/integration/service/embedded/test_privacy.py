"""Files in the home are private, whichever command creates them."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from service.embedded.errors import HomeError
from service.embedded.privacy import make_private, tighten


def sasam(home: Path, *words: str, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
    """Run a command under a umask."""
    return subprocess.run(
        [sys.executable, "-c", "from service.cli import main; main()", *words],
        env=os.environ | {"SASAM_HOME": str(home)},
        capture_output=True,
        text=True,
        umask=umask,
        check=False,
    )


def open_entries(home: Path) -> list[str]:
    """The home and its entries that are accessible to other users."""
    found = [home, *home.rglob("*")]
    return [str(path) for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077]


@pytest.mark.parametrize("parent", [".", "made/too"])
def test_home_that_a_token_creates_is_private(tmp_path: Path, parent: str) -> None:
    home = tmp_path / parent / "home"
    ran = sasam(home, "token", "create", "alice", umask=0)
    assert ran.returncode == 0, ran.stderr
    assert (home / "sasam.db").is_file()
    assert open_entries(home) == []
    assert ran.stderr == ""


def test_open_home_is_tightened_with_one_warning(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert sasam(home, "token", "create", "alice").returncode == 0
    home.chmod(0o755)
    (home / "logs").mkdir()
    for path in (home / "sasam.db", home / "logs" / "service.log", home / "ray-token"):
        path.touch()
        path.chmod(0o644)
    first, second = sasam(home, "token", "list"), sasam(home, "token", "list")
    assert "was open to other users of this machine (mode 0755); it is now 0700" in first.stderr
    assert second.stderr == ""
    assert open_entries(home) == []


TRIAL = """
name: small
dataset: digits
model: cnn-tiny
optimizers: [msgd]
search: {learning_rate: [0.1], weight_decay: [0]}
training: {epochs: 1, batch_size: 32, augmentation: none}
"""


def test_files_of_data_and_trial_commands_are_private_in_the_home_alone(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    spec = tmp_path / "sweep.yaml"
    spec.write_text(TRIAL)
    checkpoint = home / "trial.pt"
    trial = ("trial", "run", str(spec), "--device", "cpu", "--checkpoint", str(checkpoint))
    corrupt = ("data", "corrupt", "digits", "--corruption", "fog")
    for words in (trial, corrupt, (*corrupt, "--output", str(outside))):
        ran = sasam(home, *words)
        assert ran.returncode == 0, ran.stderr
    assert checkpoint.is_file()
    assert (home / "data" / "digits-c" / "fog.npy").is_file()
    assert open_entries(home) == []
    assert stat.S_IMODE((outside / "fog.npy").stat().st_mode) == 0o644


def test_database_elsewhere_is_private_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "elsewhere" / "x.db"
    monkeypatch.setenv("SASAM_DATABASE_URL", f"sqlite:///{file}")
    assert sasam(tmp_path / "home", "token", "create", "alice").returncode == 0
    assert open_entries(file.parent) == []


def test_shared_folder_is_no_home_and_stays_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(HomeError, match="mode 1777"):
        tighten(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777
    ran = sasam(shared, "token", "create", "alice")
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert list(shared.iterdir()) == []


def test_link_in_the_home_leaves_its_target_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "target"
    target.touch()
    target.chmod(0o644)
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o750)
    (home / "link").symlink_to(target)
    (home / "dangling").symlink_to(tmp_path / "nothing")
    with caplog.at_level(logging.WARNING):
        assert make_private(home) == home
    assert len(caplog.records) == 1
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
