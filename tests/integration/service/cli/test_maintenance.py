"""Commands for operators."""

from __future__ import annotations

from typing import Any

from service.client import Sweep


def test_repair_requires_one_target_and_reports_unreachable_mlflow(run: Any, sweep: Sweep) -> None:
    for words in ((), (sweep.sweep_id, "--all")):
        answer = run("repair", *words)
        assert answer.stderr == "sasam: name either a sweep or --all\n"
    for words in ((sweep.sweep_id,), ("--all",)):
        answer = run("repair", *words)
        assert (answer.exit_code, len(answer.stderr.splitlines())) == (1, 1), answer.output
        assert "mlflow" in answer.stderr.lower()
