"""The web page: rendered on the server, live by htmx, complete without JavaScript."""

from service.ui.router import STATIC, router

__all__ = ["STATIC", "router"]
