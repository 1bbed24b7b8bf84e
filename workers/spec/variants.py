"""Variants of one optimizer in a sweep: whether two of them could have a trial in common."""

from __future__ import annotations

from dataclasses import dataclass

from workers.spec.axes import Axis, optimizer_settings, read_axis
from workers.spec.fields import Section
from workers.spec.spaces import Space, could_be_equal

__all__ = ["Variant", "could_share_trials"]


@dataclass(frozen=True, slots=True)
class Variant:
    """An optimizer of a sweep.

    Args:
        section: Its section.
        space: Its space.
    """

    section: Section
    space: Space

    @property
    def settings(self) -> list[str]:
        """What its trials can differ in: settings of the search, and options of the optimizer."""
        options = (f"optimizer.{option}" for option in optimizer_settings(self.section))
        return [*self.space.places, *options]

    def domain(self, sweep: Section, setting: str) -> Axis:
        """The values or the range of a setting in its trials; empty if it has no such option."""
        if setting in self.space.axes:
            return self.space.axes[setting]
        if setting in self.space.fixed:
            return (self.space.fixed[setting],)
        section, _, option = setting.partition(".")
        if section != "optimizer":
            return (read_axis(sweep, setting),)
        options = optimizer_settings(self.section)
        return (options[option],) if option in options else ()


def could_share_trials(sweep: Section, one: Variant, other: Variant) -> bool:
    """Whether a trial of one variant could be a trial of another one.

    Trials are products of the values of their settings: they have one in common if every setting
    has a value in common. Ranges that overlap count as if they had.

    Args:
        sweep: The sweep, whose sections have the settings that no search sets.
        one: A variant.
        other: Another variant of the same optimizer.
    """
    return all(
        could_be_equal(one.domain(sweep, setting), other.domain(sweep, setting))
        for setting in dict.fromkeys([*one.settings, *other.settings])
    )
