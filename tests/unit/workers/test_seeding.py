from __future__ import annotations

import os
import subprocess
import sys

import torch

from workers.seeding import derive_seed, stream


def test_derive_seed_differs_by_every_argument():
    seeds = {
        derive_seed(seed, purpose, epoch)
        for seed in range(20)
        for purpose in ("order", "masks", "initialisation")
        for epoch in range(20)
    }
    assert len(seeds) == 20 * 3 * 20
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_derive_seed_other_process_gives_the_same():
    code = "from workers.seeding import derive_seed; print(derive_seed(7, 'order', 3))"
    environment = os.environ | {"PYTHONHASHSEED": "99"}
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert int(printed) == derive_seed(7, "order", 3)


def test_stream_does_not_touch_the_global_generator():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = torch.rand(3, generator=stream(1, "order", 2))
    assert torch.equal(first, torch.rand(3, generator=stream(1, "order", 2)))
    assert torch.equal(before, torch.get_rng_state())
