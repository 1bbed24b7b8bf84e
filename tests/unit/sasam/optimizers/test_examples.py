"""The examples in the docstrings of the optimizers run as printed."""

from __future__ import annotations

import doctest

import pytest

from sasam import SAM, SASAM, SASGD
from sasam.optimizers import SharpnessAware


@pytest.mark.parametrize("cls", [SAM, SASGD, SASAM, SharpnessAware])
def test_example_of_the_class_runs_as_printed(cls):
    (example,) = (test for test in doctest.DocTestFinder(recurse=False).find(cls, cls.__name__))
    report: list[str] = []
    results = doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert results.attempted > 5
    assert results.failed == 0, "".join(report)
