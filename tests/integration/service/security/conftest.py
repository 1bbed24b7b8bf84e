"""An application that requires tokens."""

from tests.support.guarded_site import site

__all__ = ["site"]
