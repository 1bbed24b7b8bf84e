"""Rich console that escapes control characters of the text it prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from workers.characters import escape_controls

__all__ = ["console"]

_PIPE_WIDTH = 160


def console(*, stderr: bool = False, is_wide: bool = False) -> Console:
    """Create a console.

    Args:
        stderr: Write to standard error.
        is_wide: Where the output is not a terminal, be wide enough to fold no row of a table.
    """
    made = _EscapingConsole(stderr=stderr, highlight=False, markup=False, emoji=False)
    if is_wide and not made.is_terminal:
        made.width = _PIPE_WIDTH
    return made


class _EscapingConsole(Console):
    """A console that escapes control characters of texts; its own colours are kept."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Escape the text of a cell before it is measured."""
        return super().render_str(escape_controls(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Escape the text of each segment."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(escape_controls(segment.text), segment.style)
