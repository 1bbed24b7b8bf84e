"""A service with a completed sweep whose runs are in a real MLflow server."""

from tests.support.summarized_sweep import detailed, make_sweep

__all__ = ["detailed", "make_sweep"]
