"""Text of other users reaches the terminal without control characters."""

from __future__ import annotations

import io
import json
import logging
import pathlib
import re

import pytest
import yaml
from rich.text import Text

from service.cli.console import console
from service.cli.output import OutputFormat, as_json, echo, write
from service.cli.tables import fields, table
from service.observation.logs import TextFormatter
from workers.characters import find_control

EVIL = "a\x1b[2J\x07\x9b31m\x7f\u202eb\ud800[red]c[/nope] :smile:"
SHOWN = r"a\x1b[2J\x07\x9b31m\x7f\u202eb\ud800[red]c[/nope] :smile:"


def is_clean(text: str) -> bool:
    return find_control(text.replace("\n", "").replace("\t", "")) is None


def test_echo_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    echo(f"{EVIL}\n\tline", nl=False)
    echo(EVIL, err=True)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (f"{SHOWN}\n\tline", f"{SHOWN}\n")


def test_console_escapes_cells_texts_and_lines() -> None:
    on = console()
    on.file, on.width = io.StringIO(), 200
    made = table("name", "other")
    made.add_row(EVIL, "right")
    for shown in (made, fields([("reason", EVIL)]), Text(EVIL), EVIL):
        on.print(shown)
    text = on.file.getvalue()
    assert text.count(SHOWN) == 3
    assert text.count(SHOWN.replace(r"\x07", "")) == 1  # Rich's own Text drops a bell
    assert is_clean(text)


@pytest.mark.parametrize("output", [OutputFormat.JSON, OutputFormat.YAML, OutputFormat.CSV])
def test_write_to_a_terminal_has_no_controls(
    output: OutputFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdout", terminal)
    write({"name": EVIL, "inner": {"list": [EVIL]}}, output)
    assert is_clean(terminal.getvalue())


def test_data_for_programs_keeps_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    text = EVIL.replace("\ud800", "")
    assert json.loads(as_json({"a": text})) == {"a": text}
    assert is_clean(as_json({"a": text}))
    write({"a": text}, OutputFormat.YAML)
    assert yaml.safe_load(capsys.readouterr().out) == {"a": text}


def test_lines_of_the_service_have_no_controls() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "sweep %s waits", (EVIL,), None)
    assert TextFormatter("%(message)s").format(record) == f"sweep {SHOWN} waits"


def test_commands_write_only_through_echo_and_console() -> None:
    folder = pathlib.Path(__file__).parents[4] / "service" / "cli"
    raw = re.compile(
        r"typer\.(secho|echo)\(|(?<![.\w])print\(|sys\.std(out|err)\.write|[^_]Console\("
    )
    found = {
        f"{file.name}: {line.strip()}"
        for file in folder.glob("*.py")
        if file.name not in {"output.py", "console.py", "machine_checks.py"}
        for line in file.read_text().splitlines()
        if raw.search(line)
    }
    assert found == {
        "catalog.py: sys.stdout.write(client.preset(name).text)",
    }
