"""The architecture page names files and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
NAMES = sorted(set(re.findall(r"`((?:service|workers|sasam|tests|deploy)/[\w./*:-]+)`", PAGE)))


def test_page_names_files() -> None:
    assert len(NAMES) > 40


@pytest.mark.parametrize("name", NAMES)
def test_named_path_exists(name: str) -> None:
    path, _, test = name.partition("::")
    assert any(ROOT.glob(path.rstrip("/"))), f"{path} does not exist"
    if test:
        assert f"def {test}(" in (ROOT / path).read_text()


def test_every_folder_of_the_service_is_on_the_map() -> None:
    folders = {path.parent.name for path in (ROOT / "service").glob("*/__init__.py")}
    assert folders <= {name.split("/")[1] for name in NAMES if name.startswith("service/")}
