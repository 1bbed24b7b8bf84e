"""Tables of the report on the paper's claims: verdicts, and the differences behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from study.claims import CLAIMS, Claim, ClaimTest
from study.parts import Part
from study.records import PartRecord
from study.text import difference_text, table
from study.verdicts import verdict

__all__ = ["claim_sections", "verdict_table"]

_Claimed = Sequence[tuple[Part, PartRecord]]


def verdict_table(claimed: _Claimed) -> Iterator[str]:
    """One row per test, one column per part."""
    rows = [
        [
            claim.source,
            test.name,
            *(str(verdict(test.differences(record))) for _, record in claimed),
        ]
        for claim in CLAIMS
        for test in claim.tests
    ]
    return table(["claim", "test", *(part.title for part, _ in claimed)], rows)


def claim_sections(claimed: _Claimed) -> Iterator[str]:
    """Each claim in its own words, with its tests, their differences and verdicts."""
    for claim in CLAIMS:
        yield from _section(claim, claimed)
        yield ""


def _section(claim: Claim, claimed: _Claimed) -> Iterator[str]:
    yield f"### {claim.source}: “{claim.quote}”\n"
    yield f"{claim.method}\n"
    rows = [_row(test, part, record) for test in claim.tests for part, record in claimed]
    yield from table(["test", "part", "against: difference and interval", "verdict"], rows)


def _row(test: ClaimTest, part: Part, record: PartRecord) -> list[str]:
    differences = test.differences(record)
    cell = "<br>".join(f"{one.against}: {difference_text(one)}" for one in differences)
    return [test.name, part.title, cell, str(verdict(differences))]
