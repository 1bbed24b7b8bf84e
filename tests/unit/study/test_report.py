"""The committed report follows from the committed records, and from nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from study.__main__ import report
from study.parts import FIGURES, PARTS, RECORDS, REPORT
from study.records import PartRecord, read_records, record_path, write_record
from study.report import render_report

MakeRecord = Callable[..., PartRecord]


def test_committed_report_follows_from_the_committed_records() -> None:
    assert report() == REPORT.read_text(encoding="utf-8")


def test_figures_of_the_report_are_committed_and_small() -> None:
    for part in PARTS:
        if record_path(RECORDS, part.name).exists():
            sizes = [(FIGURES / file).stat().st_size for file in part.figure_files.values()]
            assert max(sizes, default=0) < 200_000, part.name


def test_changed_record_changes_the_report(make_record: MakeRecord) -> None:
    leads, trails = (
        render_report({"digits": make_record(lead=lead)}, []) for lead in (0.05, -0.05)
    )
    assert "| Fig. 1 | best OOD accuracy | supported |" in leads
    assert "| Fig. 1 | best OOD accuracy | contradicted |" in trails


def test_incomplete_part_is_named(make_record: MakeRecord) -> None:
    found = render_report({"digits": make_record(finished_trials=60)}, [])
    assert "**Incomplete: small CNN, digits.** 30 of 90 trials have no result yet" in found
    assert "| slim ViT, CIFAR-10 subset | no record yet |" in found


def test_report_of_no_record_names_every_part_as_missing() -> None:
    found = render_report({}, [])
    assert found.count("| no record yet |") == len(PARTS)
    assert all(part.title in found for part in PARTS)


def test_every_place_of_the_template_is_filled(make_record: MakeRecord) -> None:
    assert "{{" not in render_report({"digits": make_record()}, [])


def test_record_is_read_as_it_was_written(make_record: MakeRecord, tmp_path: Path) -> None:
    written = make_record()
    write_record(written, record_path(tmp_path / "records", "digits"))
    assert read_records(tmp_path / "records", ["digits", "vgg"]) == {"digits": written}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_committed_record_is_of_the_committed_specification(part: object) -> None:
    (chosen,) = (one for one in PARTS if one == part)
    found = read_records(RECORDS, [chosen.name])
    for record in found.values():
        assert record.specification == chosen.specification.read_text(encoding="utf-8")
