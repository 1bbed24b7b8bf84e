from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from workers.datasets import InsufficientSpaceError, MissingDataError
from workers.datasets.cache import build_once, locked, map_array, require_space, save_array

RACER = """
import sys
from pathlib import Path
from workers.datasets.cache import build_once

def fill(folder):
    with open(sys.argv[2], "a") as calls:
        calls.write("filled\\n")
    (folder / "content").write_text("x" * 100_000)

sys.stdin.readline()  # all start together
print(len((build_once(Path(sys.argv[1]), fill) / "content").read_text()))
"""


@pytest.mark.slow
def test_build_once_processes_that_start_together_fill_once(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", RACER, str(tmp_path / "entry"), str(tmp_path / "calls")]
    pipe = subprocess.PIPE
    racers = [subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    outputs = [racer.communicate()[0].strip() for racer in racers]
    assert outputs == ["100000"] * 4
    assert (tmp_path / "calls").read_text() == "filled\n"


def test_build_once_after_a_failure_leaves_nothing_and_tries_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        build_once(tmp_path / "entry", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".entry.lock"]
    built = build_once(tmp_path / "entry", lambda folder: (folder / "whole").touch())
    assert [path.name for path in built.iterdir()] == ["whole"]


def test_build_once_clears_what_a_killed_process_left(tmp_path: Path) -> None:
    (tmp_path / ".entry.unfinished").mkdir()
    (tmp_path / ".entry.unfinished" / "half").touch()
    built = build_once(tmp_path / "entry", lambda folder: (folder / "whole").touch())
    assert [path.name for path in built.iterdir()] == ["whole"]


def test_build_once_waits_for_the_process_that_builds(tmp_path: Path) -> None:
    building, go_on = threading.Event(), threading.Event()

    def fill(folder: Path) -> None:
        building.set()
        go_on.wait(30)
        (folder / "whole").touch()

    first = threading.Thread(target=build_once, args=(tmp_path / "entry", fill))
    first.start()
    assert building.wait(30)
    seen: list[str] = []

    def second() -> None:
        folder = build_once(tmp_path / "entry", lambda _: seen.append("filled twice"))
        seen.extend(path.name for path in folder.iterdir())

    waiting = threading.Thread(target=second)
    waiting.start()
    go_on.set()
    first.join(30)
    waiting.join(30)
    assert seen == ["whole"]


@pytest.mark.parametrize("kept_bytes", [0, 40, 1000])
def test_map_array_of_a_cut_file_is_an_error(kept_bytes: int, tmp_path: Path) -> None:
    path = tmp_path / "array.npy"
    save_array(path, np.arange(1000))
    assert np.array_equal(map_array(path), np.arange(1000))
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(ValueError):  # noqa: PT011 (NumPy's messages differ)
        map_array(path)


def test_require_space_too_little_says_how_much(tmp_path: Path) -> None:
    require_space(tmp_path / "not" / "there", 1, key="dataset.name")
    with pytest.raises(InsufficientSpaceError, match=r"MiB are needed in .* are free; free some"):
        require_space(tmp_path, 2**60, key="dataset.name")


def test_locked_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(
            MissingDataError, match=r"file cannot be written: .*; name a folder that can"
        ),
        locked(tmp_path / "file" / "entry"),
    ):
        pass
