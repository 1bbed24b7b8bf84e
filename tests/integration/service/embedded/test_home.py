"""A home is locked by one supervisor, however the previous one ended."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from service.embedded.errors import HomeError
from service.embedded.home import Home, occupy, require_private

OCCUPANT = """
import sys, time
from pathlib import Path
from service.embedded.home import occupy
with occupy(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(99)
"""


def test_occupy_home_in_use_names_the_process_and_its_death_frees_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OCCUPANT, str(tmp_path)], stdout=subprocess.PIPE
    ) as occupant:
        assert occupant.stdout is not None
        occupant.stdout.readline()
        with pytest.raises(HomeError, match=f"in use by process {occupant.pid}"), occupy(tmp_path):
            pass
        occupant.kill()
    with occupy(tmp_path):
        assert f"process {os.getpid()}" in (tmp_path / "supervisor.lock").read_text()


def test_occupy_leaves_nothing_in_a_home_that_was_not_used(tmp_path: Path) -> None:
    existing, new = tmp_path / "existing", tmp_path / "new"
    existing.mkdir()
    for path in (existing, new):
        with pytest.raises(KeyError), occupy(path):
            raise KeyError
    assert list(tmp_path.rglob("*")) == [existing]


def test_occupy_lock_file_removed_by_its_holder_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "supervisor.lock").touch()
    lock = fcntl.flock

    def lock_after_the_holder_left(file: IO[str], operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        (tmp_path / "supervisor.lock").unlink()
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", lock_after_the_holder_left)
    with occupy(tmp_path), pytest.raises(HomeError, match="in use by process"), occupy(tmp_path):
        pass


def test_occupy_names_the_start_in_utc(home: Home) -> None:
    written = (home.path / "supervisor.lock").read_text()
    assert re.fullmatch(r"process \d+, started \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n", written)


def test_occupy_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    expected = pytest.raises(HomeError, match=f"SASAM_HOME {file}/home cannot be written")
    with expected, occupy(file / "home"):
        pass


def test_token_is_secret_and_stays(home: Home) -> None:
    path = home.token(None)
    token = path.read_text()
    assert len(token) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert home.token(None).read_text() == token


def test_ray_folder_is_private_and_short_and_the_last_one_goes(home: Home) -> None:
    left = home.ray_folder("0000")
    (left / "session").mkdir()
    folder = home.ray_folder("1111")
    assert not left.exists()
    assert len(os.fsencode(folder)) <= 37
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.rmdir()


def test_require_private_folder_open_to_others_or_a_link_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    assert require_private(folder) == folder
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(HomeError, match="link must be a folder of user"):
        require_private(tmp_path / "link")
    folder.chmod(0o777)
    with pytest.raises(HomeError, match="mode 0777"):
        require_private(folder)
