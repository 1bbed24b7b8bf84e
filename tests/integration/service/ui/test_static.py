"""Static files: complete, without other hosts, with readable colours."""

from __future__ import annotations

import re
from typing import Any

import httpx

from service.states import Command, SweepState
from service.ui import STATIC
from service.ui.heatmap_tables import N_SHADES
from workers.metrics import Outcome


def test_every_file_a_page_names_is_served(http: httpx.Client, site: Any) -> None:
    sweep_id, _ = site.submit("static")
    for page in ("/", f"/sweeps/{sweep_id}"):
        for path in set(re.findall(r'(?:src|href)="(/static/[^"#]+)', http.get(page).text)):
            assert http.get(path).status_code == 200, path


def test_vendored_scripts_are_the_versions_that_are_listed() -> None:
    vendor = STATIC / "vendor"
    rows = re.findall(
        r"\| `([\w.-]+)` \| [\w.@/-]+ \| ([\d.]+) \|", (vendor / "VENDOR.md").read_text()
    )
    assert {name for name, _ in rows} == {path.name for path in vendor.glob("*.js")}
    for name, version in rows:
        text = (vendor / name).read_text()
        assert version in text, name
        assert len(text) < 2 * 2**20
        assert "sourceMappingURL" not in text


def test_own_files_name_no_other_address() -> None:
    own = [path for path in STATIC.glob("*.*") if path.is_file()]
    for path in [*own, *(STATIC.parent / "templates").iterdir()]:
        addresses = set(re.findall(r"https?://[\w./]+", path.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path


def test_text_on_every_colour_can_be_read() -> None:
    steps = re.findall(
        r"\.([vc]\d+) \{ background: #(\w{6}); color: #(\w{3}); \}",
        (STATIC / "scales.css").read_text(),
    )
    assert [name for name, _, _ in steps] == [f"{s}{i}" for s in "vc" for i in range(N_SHADES)]
    for _, background, ink in steps:
        light, dark = sorted((_luminance(background), _luminance(2 * ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.2, 1.4.3


def test_every_state_and_command_has_an_icon() -> None:
    icons = set(re.findall(r'<symbol id="([\w-]+)"', (STATIC / "icons.svg").read_text()))
    commands = set(Command) - {Command.DELETE}
    assert {*SweepState, *commands, *Outcome, "delete", "clone", "running", "pending"} <= icons


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    shares = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return sum(w * s for w, s in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
