"""Image corruptions: the 19 of CIFAR-10-C at 5 severities, for images of any size.

Importing this package imports no third-party module, so that names can be checked without them;
`corrupt` and its dependencies are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.corruptions.constants import GENERATOR_VERSION
from workers.corruptions.names import BENCHMARK_CORRUPTIONS, CORRUPTIONS, SEVERITIES

if TYPE_CHECKING:
    from workers.corruptions.apply import corrupt

__all__ = ["BENCHMARK_CORRUPTIONS", "CORRUPTIONS", "GENERATOR_VERSION", "SEVERITIES", "corrupt"]


def __getattr__(name: str) -> Any:
    """Import `corrupt` on first use (PEP 562)."""
    if name == "corrupt":
        from workers.corruptions.apply import corrupt

        return corrupt
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
