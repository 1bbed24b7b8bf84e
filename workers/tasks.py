"""Tasks: what a network learns, and what follows from it for a specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from workers.scores import ScoreName

__all__ = ["TASKS", "TEXT_SHIFTS", "Task", "TaskName"]

TaskName = Literal["images", "text"]


TEXT_SHIFTS = ("zipf", "grammar")
"""OOD sets of the data set ``zipf-grammar``: another exponent, another grammar."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task.

    Args:
        name: Its name.
        description: What a network predicts from what.
        score: What ranks configurations unless a specification names it.
        is_augmented: Whether training examples can be changed at random.
    """

    name: TaskName
    description: str
    score: ScoreName
    is_augmented: bool


TASKS: Mapping[TaskName, Task] = MappingProxyType(
    {
        "images": Task("images", "the class of an image", "accuracy", is_augmented=True),
        "text": Task("text", "the next token of a text", "loss", is_augmented=False),
    }
)
"""The tasks by name."""
