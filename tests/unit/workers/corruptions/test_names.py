from __future__ import annotations

import subprocess
import sys

import workers.corruptions
from workers.corruptions import BENCHMARK_CORRUPTIONS, CORRUPTIONS, SEVERITIES


def test_names_are_those_of_cifar10_c_in_its_order() -> None:
    assert len(CORRUPTIONS) == len(set(CORRUPTIONS)) == 19
    assert CORRUPTIONS[:15] == BENCHMARK_CORRUPTIONS
    assert set(CORRUPTIONS) - set(BENCHMARK_CORRUPTIONS) == {
        "speckle_noise",
        "gaussian_blur",
        "spatter",
        "saturate",
    }
    assert SEVERITIES == (1, 2, 3, 4, 5)


def test_package_import_loads_no_third_party_module() -> None:
    program = (
        "import sys, workers.corruptions; "
        "print([m for m in ('numpy', 'scipy', 'cv2', 'torch', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_all_lists_what_the_package_has() -> None:
    for name in workers.corruptions.__all__:
        assert getattr(workers.corruptions, name) is not None
