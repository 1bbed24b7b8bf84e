"""Command line of the study: ``python -m study run`` and ``python -m study report``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from study.parts import PARTS, RECORDS, REPORT
from study.records import read_costs, read_records
from study.report import render_report

__all__ = ["main", "report"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run parts of the study, or make the report from the records.

    Args:
        arguments: Of the command line; by default those of the process.

    Returns:
        The exit status.
    """
    given = _parser().parse_args(arguments)
    on = Console(soft_wrap=True)
    if given.command == "run":
        from study.runs import StudyError, run_study

        chosen = [part for part in PARTS if not given.parts or part.name in given.parts]
        try:
            run_study(
                chosen, on, conditions=given.conditions, force=given.force, wait=not given.no_wait
            )
        except KeyboardInterrupt:
            on.print("interrupted; the same command continues")
            return 130
        except StudyError as error:
            on.print(f"study: {error}", markup=False)
            return 1
    REPORT.write_text(report())
    on.print(f"wrote {REPORT.name}")
    return 0


def report() -> str:
    """The report that follows from the committed records."""
    records = read_records(RECORDS, (part.name for part in PARTS))
    return render_report(records, read_costs(RECORDS))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m study", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run parts, record them and write the report")
    run.add_argument("parts", nargs="*", choices=[[], *(part.name for part in PARTS)], default=[])
    run.add_argument("--conditions", default="not stated", help="what else the machine did")
    run.add_argument("--force", action="store_true", help="continue with changed code")
    run.add_argument("--no-wait", action="store_true", help="record what has finished")
    commands.add_parser("report", help="write the report from the committed records")
    return parser


if __name__ == "__main__":
    sys.exit(main())
