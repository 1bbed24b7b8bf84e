"""Application factory: routes, external services, lifespan."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, Depends, FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.staticfiles import StaticFiles

from service.api import (
    audit,
    catalog,
    events,
    execution,
    health,
    metrics,
    proxy_authorization,
    summaries,
    sweeps,
    trials,
)
from service.api.error_handlers import install_error_handlers
from service.api.openapi import DocumentedAPI
from service.backup.pruning import Pruner
from service.embedded.privacy import tighten
from service.execution.lease import Lease
from service.execution.reconciler import Reconciler
from service.observation.logs import configure_logging
from service.observation.requests import RequestObserver
from service.security.csrf import refuse_foreign_commands
from service.security.gate import Gate
from service.security.headers import SecurityHeaders
from service.services import Services
from service.settings import Settings
from service.summaries.publishing import Publisher
from service.ui import STATIC
from service.ui import router as ui
from service.ui.page_responses import render_error

__all__ = ["create_app"]


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; uvicorn's factory.

    Args:
        settings: Settings; read from the environment if None.

    Raises:
        SchemaError: At start, if a newer version wrote the database.
        SecurityError: At start, if other machines could reach the service and it has no tokens.
    """
    settings = settings or Settings()
    configure_logging(settings.log_format)
    # A pass of the reconciler must not hang on MLflow: it tries once, the next pass tries again.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    app = DocumentedAPI(
        title="sasam",
        version=version("sasam"),
        summary="How much does an optimizer depend on tuning?",
        lifespan=_lifespan,
        docs_url=None,  # service.ui serves one that loads nothing from other sites
        redoc_url=None,
    )
    services = Services.build(settings)
    app.state.services = services
    app.add_middleware(
        Gate,
        authentication=services.authentication,
        audit=services.audit,
        settings=settings,
        render_error=render_error,
    )
    app.add_middleware(RequestObserver, metrics=services.metrics)
    app.add_middleware(SecurityHeaders)  # added last: the outermost
    install_error_handlers(app)
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(refuse_foreign_commands)])
    for router in (
        sweeps.router,
        events.router,
        execution.router,
        trials.router,
        summaries.router,
        catalog.router,
        audit.router,
    ):
        api.include_router(router)
    app.include_router(api)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.include_router(proxy_authorization.router)
    app.include_router(ui)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Migrate the database, run the background threads, close the connections at the end."""
    services: Services = app.state.services
    settings, database = services.settings, services.database
    await run_in_threadpool(tighten, settings.home)
    await run_in_threadpool(database.migrate)
    await run_in_threadpool(services.authentication.prepare)
    publisher = Publisher(services.summaries, services.mlflow, settings.sweep_page_url)
    lease = Lease(database, seconds=settings.lease_seconds)
    services.metrics.watch_leader(lambda: lease.is_held)
    reconciler = Reconciler(
        database,
        services.ray,
        services.mlflow,
        settings,
        lease,
        on_end=publisher.start,
        on_pass=services.metrics.observe_pass,
    )
    reconciler.start()
    publisher.resume(database)
    pruner = Pruner(database, settings)
    services.webhooks.start()
    pruner.start()
    yield
    await run_in_threadpool(pruner.stop)
    await run_in_threadpool(services.webhooks.stop)
    await run_in_threadpool(reconciler.stop)
    services.close()
