"""Web pages: rendered on the server, updated by htmx, readable without JavaScript."""

from service.ui.router import STATIC, router

__all__ = ["STATIC", "router"]
