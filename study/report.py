"""The report ``docs/reproduction.md``: tables of the records in the prose of ``template.md``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from study.claim_tables import claim_sections, verdict_table
from study.cost_tables import cost_facts
from study.parts import PARTS
from study.question_tables import equal_compute_table, flatness_table, variants_table
from study.records import CostRecord, PartRecord
from study.result_tables import result_sections, runs_table, trained_epochs

__all__ = ["render_report"]

_TEMPLATE = Path(__file__).with_name("template.md")
_PLACE = re.compile(r"{{(\w+)}}")


def render_report(records: Mapping[str, PartRecord], costs: Sequence[CostRecord]) -> str:
    """The report as Markdown.

    Args:
        records: By the name of the part; a part without a record is named as missing.
        costs: Of the presets of the full experiment.
    """
    claimed = [
        (part, records[part.name]) for part in PARTS if part.tests_claims and part.name in records
    ]
    made: dict[str, Iterable[str]] = {
        "verdicts": verdict_table(claimed),
        "runs": runs_table(records),
        "results": result_sections(claimed),
        "claims": claim_sections(claimed),
        "variants": variants_table(records),
        "equal_compute": equal_compute_table(claimed),
        "flatness": flatness_table(claimed),
        "epochs": [trained_epochs(records)],
        **cost_facts(costs, records),
    }
    return _PLACE.sub(
        lambda place: "\n".join(made[place[1]]).strip("\n"),
        _TEMPLATE.read_text(encoding="utf-8"),
    )
