"""Random requests to every operation of the OpenAPI document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis.checks import CHECKS, load_all_checks

from service.app import create_app
from service.security.access import Role
from service.settings import Settings
from tests.support.guarded_site import Site

load_all_checks()

_CONFORMANCE = CHECKS.get_by_names(
    ["status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)
_AWAY = 503
"""Nothing listens where Ray and MLflow should: a documented answer, and no defect."""
_OPEN = {"/healthz", "/readyz"}

# Only its document is wanted; it opens no file.
_SCHEMA = schemathesis.openapi.from_dict(create_app(Settings(home=Path("unused"))).openapi())
_SCHEMA.config.update(base_url="http://testserver")
OPERATIONS = [result.ok() for result in _SCHEMA.get_all_operations()]


def every_operation(test: Any) -> Any:
    """Run a test for each operation of the document."""
    return pytest.mark.parametrize("operation", OPERATIONS, ids=lambda found: found.label)(test)


def limited(examples: int) -> Any:
    """How much to try of each operation: the same in each run."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


def send(site: Site, case: schemathesis.Case, role: Role | None) -> httpx.Response:
    """Send a generated request, with the token of a role or without one."""
    parts = case.as_transport_kwargs(base_url="http://testserver")
    headers = {name: text for name, text in parts["headers"].items() if name != "Authorization"}
    options = {"params": parts.get("params"), "headers": headers}
    if parts.get("json") is not None:
        options["json"] = parts["json"]
    elif parts.get("data") is not None:
        options["content"] = parts["data"]
    return site.ask(parts["method"], parts["url"], role, **options)


def test_document_has_all_operations() -> None:
    assert len(OPERATIONS) > 25


@every_operation
def test_answer_to_anything_is_a_documented_one(operation: Any, site: Site) -> None:
    known = site.submit(ended=True)

    @limited(25)
    @given(case=operation.as_strategy(), exists=strategies.booleans())
    def ask(case: schemathesis.Case, exists: bool) -> None:
        if exists and "sweep_id" in case.path_parameters and not case.path.endswith("/events"):
            case.path_parameters["sweep_id"] = known
        response = send(site, case, Role.ADMIN)
        assert response.status_code < 500 or response.status_code == _AWAY, response.text
        assert response.status_code not in {401, 403}
        case.validate_response(response, checks=_CONFORMANCE)

    ask()


@every_operation
def test_request_without_a_token_is_refused(operation: Any, site: Site) -> None:
    @limited(3)
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        response = send(site, case, None)
        if case.path in _OPEN:
            assert response.status_code in {200, _AWAY}
        else:
            assert response.status_code == 401
            case.validate_response(response, checks=_CONFORMANCE)

    ask()
