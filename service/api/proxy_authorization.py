"""Proxy authorization: whether a caller may use services behind the same proxy, such as MLflow."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from service.security.access import Principal, Role
from service.security.errors import ForbiddenProblem

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/auth", status_code=204, response_class=Response)
def authorize(request: Request, role: Role = Role.READ) -> Response:
    """204 if the caller's token or session has the role, 401 if unauthenticated, 403 if not.

    Raises:
        ForbiddenProblem: The caller's role is not sufficient.
    """
    principal: Principal = request.state.principal
    if not principal.role.includes(role):
        raise ForbiddenProblem(
            f"the token {principal.name!r} has the role {principal.role}; this needs {role}",
            code="role-too-low",
            role=principal.role,
            needed=role,
        )
    return Response(status_code=204, headers={"X-Sasam-Principal": principal.name})
