"""Changes that a user may make to a sweep at any time: name, tags, description, archive.

Apart from the other schemas, which the client imports: this one imports the specification's types.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from workers.spec.fields import Label, Tags, require_plain

__all__ = ["SweepChanges"]


def _plain_lines(text: str) -> str:
    """Text with its line breaks as line feeds; refuse other control characters."""
    lines = text.replace("\r\n", "\n")
    require_plain(lines.replace("\n", " ").replace("\t", " "))
    return lines


Description = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_plain_lines)]


class SweepChanges(BaseModel):
    """What a user may change of a sweep at any time; what is absent stays."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: Label | None = None
    """New name; the experiment in MLflow keeps the name of the specification."""
    tags: Tags | None = None
    """All its tags."""
    description: Description | None = None
    """What its users note about it."""
    archived: bool | None = None
    """Whether lists leave it out; only a sweep that has ended can be archived."""
