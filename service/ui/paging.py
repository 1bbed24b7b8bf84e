"""Numbered pages of a long list."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Paging"]


@dataclass(frozen=True, slots=True)
class Paging:
    """The position of a page in a list.

    Attributes:
        page: Number of the page, from 1.
        size: Entries per page.
        total: Entries of the whole list.
    """

    page: int
    size: int
    total: int

    @property
    def offset(self) -> int:
        """Entries before this page."""
        return (self.page - 1) * self.size

    @property
    def pages(self) -> int:
        """Number of pages, at least 1."""
        return max(1, -(-self.total // self.size))

    @property
    def first(self) -> int:
        """Number of the first entry, from 1; 0 if the page is empty."""
        return self.offset + 1 if self.offset < self.total else 0

    @property
    def last(self) -> int:
        """Number of the last entry."""
        return min(self.offset + self.size, self.total)
