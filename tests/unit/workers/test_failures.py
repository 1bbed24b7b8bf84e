"""What is read from the errors that Ray reports, and which trials are tried again."""

from __future__ import annotations

import pytest
import requests

from workers.failures import FailureKind, Retries, is_defect, read_failure

RAISED = """Failure # 1 (occurred at 2026-11-25_13-13-23)
\x1b[36mray::ResourceTrainable.train()\x1b[39m (pid=8607, ip=192.0.2.2, repr=<MemoryError>)
  File "/ray/tune/trainable/trainable.py", line 326, in train
    result = self.step()
             ^^^^^^^^^^^
  File "/workers/trainable.py", line 59, in step
    raise MemoryError("out of memory") from None  # what the code says does not count
{}
"""
DIED = """Failure # 1 (occurred at 2026-11-25_13-13-13)
The actor died unexpectedly before finishing this task.
	class_name: with_resources.<locals>.ResourceTrainable
	pid: 8440
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit \
detail: Worker unexpectedly exits with a connection error code 2. End of file. Some common causes \
include: (1) the process was killed by the OOM killer due to high memory usage, (2) ray stop
"""
EVICTED = """Failure # 1 (occurred at 2026-11-25_13-13-13)
Task was killed due to the node running low on memory.
Memory on the node (IP: 192.0.2.2) was 30.1GB / 31.2GB (0.965), which exceeds the threshold of 0.95.
"""
CUDA = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total"


@pytest.mark.parametrize(
    ("text", "kind", "headline", "was_raised"),
    [
        (RAISED.format("ValueError: no\n  indented"), "error", "ValueError: no", True),
        (RAISED.format("KeyError"), "error", "KeyError", True),
        (RAISED.format(CUDA), "out_of_memory", CUDA, True),
        (RAISED.format("MemoryError"), "out_of_memory", "MemoryError", True),
        *(
            (RAISED.format(f"RuntimeError: {said}"), "out_of_memory", f"RuntimeError: {said}", True)
            for said in (
                "CUDA error: out of memory",
                "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes",
            )
        ),
        (
            RAISED.format("OSError: [Errno 12] Cannot allocate memory"),
            "out_of_memory",
            "OSError: [Errno 12] Cannot allocate memory",
            True,
        ),
        *(
            (RAISED.format(said), "disk_full", said, True)
            for said in (
                "OSError: [Errno 28] No space left on device: '/storage/.checkpoint.pt.1'",
                "OSError: [Errno 122] Disk quota exceeded",
                "RuntimeError: [enforce fail at inline_container.cc:672] . PytorchStreamWriter "
                "failed writing file data/0: file write failed",
            )
        ),
        (
            RAISED.format("OSError: When uploading part: AWS Error NETWORK_CONNECTION during Put"),
            "storage_away",
            "OSError: When uploading part: AWS Error NETWORK_CONNECTION during Put",
            True,
        ),
        (
            RAISED.format("OSError: When uploading part: AWS Error ACCESS_DENIED during Put"),
            "error",
            "OSError: When uploading part: AWS Error ACCESS_DENIED during Put",
            True,
        ),
        (DIED, "error", "The actor died unexpectedly before finishing this task.", False),
        (
            EVICTED,
            "out_of_memory",
            "Task was killed due to the node running low on memory.",
            False,
        ),
        ("", "error", "no traceback", False),
        (
            'Traceback (most recent call last):\n  File "a.py", line 1\nE: no heading',
            "error",
            "E: no heading",
            True,
        ),
    ],
)
def test_read_failure_distinguishes_kinds(text, kind, headline, was_raised):
    failure = read_failure(text)
    assert failure.kind is FailureKind(kind)
    assert failure.headline == headline
    assert failure.was_raised is was_raised


def test_read_failure_takes_the_newest_without_colours():
    failure = read_failure(RAISED.format("KeyError: 1") + RAISED.format("KeyError: 2"))
    assert failure.message == "KeyError: 2"
    assert failure.traceback.startswith("ray::ResourceTrainable.train() (pid")
    assert "KeyError: 1" not in failure.traceback


def test_retries_double_their_pauses_up_to_a_minute():
    retries = Retries(limit=8)
    pauses = [retries.pause_seconds("a", read_failure(DIED), epoch=1) for _ in range(9)]
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, None]
    assert retries.pause_seconds("b", read_failure(DIED), epoch=1) == 2


def test_retries_take_an_exception_that_repeats_itself_for_a_bug():
    bug, other = (read_failure(RAISED.format(f"ValueError: {n}")) for n in (1, 2))
    retries = Retries(limit=5)
    assert retries.pause_seconds("a", bug, epoch=3) == 2
    assert retries.pause_seconds("a", other, epoch=3) == 4  # another exception
    assert retries.pause_seconds("a", other, epoch=4) == 8  # it came further
    assert retries.pause_seconds("b", other, epoch=4) == 2  # another trial
    assert retries.pause_seconds("a", other, epoch=4) is None


@pytest.mark.parametrize("text", [RAISED.format(CUDA), EVICTED, DIED])
def test_retries_give_what_may_pass_all_its_tries(text):
    retries = Retries(limit=2)
    failure = read_failure(text)
    assert [retries.pause_seconds("a", failure, epoch=0) for _ in range(3)] == [2, 4, None]


def test_retries_wait_for_a_full_disk_without_counting():
    full = read_failure(RAISED.format("OSError: [Errno 28] No space left on device"))
    retries = Retries(limit=1)
    assert [retries.pause_seconds("a", full, epoch=3) for _ in range(20)] == [60] * 20
    assert retries.pause_seconds("a", read_failure(DIED), epoch=3) == 2


def test_retries_can_be_none():
    assert Retries(limit=0).pause_seconds("a", read_failure(DIED), epoch=0) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("resources"), True),
        (ModuleNotFoundError("ray"), True),
        (KeyError("x"), True),
        (TypeError("x"), True),
        (ZeroDivisionError(), True),
        (OSError("disk"), False),
        (ConnectionError("refused"), False),
        (RuntimeError("node lost"), False),
        (MemoryError(), False),
        (requests.exceptions.JSONDecodeError("x", "", 0), False),
        (requests.exceptions.InvalidURL("x"), False),
    ],
    ids=repr,
)
def test_is_defect_only_for_what_comes_again(error, expected):
    assert is_defect(error) is expected
