"""Lists of the catalog and the presets."""

from __future__ import annotations

from typing import Any


def test_catalog_and_presets(run: Any) -> None:
    assert "shifted patch tokenisation" in " ".join(run("catalog").stdout.split())
    assert "sa-sam" in run("catalog", "-o", "csv").stdout
    assert "digits" in run("presets").stdout
    text = run("presets", "digits").stdout
    assert run("submit", "-", "--dry-run", input=text).stdout.split()[:2] == ["trials", "80"]
    unknown = run("presets", "nothing")
    assert unknown.exit_code == 1
    assert "there are digits" in unknown.stderr
