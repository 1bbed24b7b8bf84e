"""The application: routes, neighbours, the reconciler's life."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import cast

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from service.api import audit as audit
from service.api import catalog as catalog
from service.api import events as events
from service.api import execution as execution
from service.api import health
from service.api import metrics as observation
from service.api import summaries as summaries
from service.api import sweeps as sweeps
from service.api import trials as trials
from service.api.health import ReadinessWatch
from service.api.openapi import DocumentedAPI
from service.backup.pruning import Pruner
from service.embedded.privacy import tighten
from service.events.broadcast import Broadcast
from service.execution.lease import Lease
from service.execution.reconciler import Reconciler
from service.external.mlflow_gateway import MlflowGateway
from service.external.ray_jobs import RayJobs
from service.first_line import first_line
from service.observation.cluster import ClusterWatch
from service.observation.logs import configure_logging
from service.observation.metrics import Metrics
from service.observation.requests import RequestObserver
from service.problems import install_error_handlers, problem_response
from service.security import login, passage
from service.security.audit import AuditLog
from service.security.authentication import Authentication
from service.security.csrf import refuse_foreign_commands
from service.security.gate import Gate
from service.security.headers import SecurityHeaders
from service.sensitivity.errors import NeedsGridError, NotAvailableError, SummaryError
from service.settings import Settings
from service.storage import DATABASE_AWAY, Database
from service.summaries.publishing import Publisher
from service.summaries.service import SummaryService
from service.ui import STATIC
from service.ui import router as ui
from service.webhooks.delivery import Webhooks

__all__ = ["create_app"]


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; uvicorn's factory.

    Args:
        settings: From the environment where absent.

    Raises:
        SchemaError: At start, when the database was written by a newer version.
        SecurityError: At start, when other machines could reach it and it has no tokens.
    """
    settings = settings or Settings()
    configure_logging(settings.log_format)
    # A pass of the reconciler must not hang on MLflow: one try, and the next pass is the next try.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    app = DocumentedAPI(
        title="sasam",
        version=version("sasam"),
        summary="How much does an optimizer depend on tuning?",
        lifespan=_lifespan,
        docs_url=None,  # the page has one that needs no other site
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.database = Database(settings.resolved_database_url)
    app.state.ray = RayJobs(settings)
    app.state.results = MlflowGateway(str(settings.mlflow_tracking_uri).rstrip("/"))
    app.state.readiness = ReadinessWatch(
        app.state.database, app.state.ray, app.state.results, settings.lease_seconds
    )
    app.state.summaries = SummaryService(app.state.database, app.state.results)
    app.state.broadcast = Broadcast(app.state.database)
    app.state.metrics = Metrics(app.state.database, ClusterWatch(app.state.ray))
    app.state.authentication = Authentication(app.state.database, settings)
    app.state.audit = AuditLog(app.state.database)
    app.state.webhooks = Webhooks(app.state.database, settings)
    app.add_middleware(
        Gate, authentication=app.state.authentication, audit=app.state.audit, settings=settings
    )
    app.add_middleware(RequestObserver, metrics=app.state.metrics)
    app.add_middleware(SecurityHeaders)  # the last one is the outermost
    install_error_handlers(app)
    app.add_exception_handler(SummaryError, _on_summary_error)
    for error in DATABASE_AWAY:
        app.add_exception_handler(error, _on_database_error)
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
    app.include_router(observation.router)
    app.include_router(login.router)
    app.include_router(passage.router)
    app.include_router(ui)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Migrate, reconcile while the application runs, close what is open."""
    state = app.state
    await run_in_threadpool(tighten, state.settings.home)
    await run_in_threadpool(state.database.migrate)
    await run_in_threadpool(state.authentication.prepare)
    publisher = Publisher(state.summaries, state.results)
    lease = Lease(state.database, seconds=state.settings.lease_seconds)
    state.metrics.watch_leader(lambda: lease.is_held)
    reconciler = Reconciler(
        state.database,
        state.ray,
        state.results,
        state.settings,
        lease,
        on_end=publisher.start,
        on_pass=state.metrics.observe_pass,
    )
    reconciler.start()
    publisher.resume(state.database)
    pruner = Pruner(state.database, state.settings)
    state.webhooks.start()
    pruner.start()
    yield
    await run_in_threadpool(pruner.stop)
    await run_in_threadpool(state.webhooks.stop)
    await run_in_threadpool(reconciler.stop)
    state.ray.close()
    state.database.close()


def _on_database_error(_: Request, error: Exception) -> JSONResponse:
    """The database is away, read-only or too slow; nothing was changed."""
    reason = first_line(error)
    detail = f"the database does not answer: {reason}"
    return problem_response(503, "unavailable", "Unavailable", detail)


def _on_summary_error(_: Request, error: Exception) -> JSONResponse:
    """What cannot be answered yet is a conflict with the sweep; the rest is the caller's."""
    is_for_now = isinstance(error, NotAvailableError) and not isinstance(error, NeedsGridError)
    summary_error = cast(SummaryError, error)
    return problem_response(
        409 if is_for_now else 422,
        summary_error.code,
        "No answer",
        str(error),
        allowed=list(summary_error.allowed),
    )
