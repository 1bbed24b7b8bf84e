"""A stand-in for the service: answers every request with the settings it was given."""

from __future__ import annotations

import os

from fastapi import FastAPI


def create_app() -> FastAPI:
    app = FastAPI()

    @app.get("/healthz")
    def settings() -> dict[str, str]:
        return {name: text for name, text in os.environ.items() if name.startswith("SASAM_")}

    return app
