"""Permission to submit code of one's own: optimizers, models and data sets from files or modules.

Such code runs on the cluster with the rights of its processes. The service never imports it.
"""

from __future__ import annotations

from service.security.access import LOCAL, Principal, Role
from service.settings import Settings
from workers.spec import SpecError, SpecProblem, SweepSpec, code_names, describe_location

__all__ = ["require_code_permission"]


def require_code_permission(
    specification: SweepSpec, submitter: Principal, settings: Settings
) -> None:
    """Check that a submitter may run code of their own, if the specification has any.

    Raises:
        SpecError: The submitter may not; one problem per name.
    """
    names = code_names(specification)
    refusal = _refusal(submitter, settings) if names else None
    if refusal is not None:
        raise SpecError(
            [
                SpecProblem(describe_location(location), refusal, str(name))
                for location, name in names.items()
            ]
        )


def _refusal(submitter: Principal, settings: Settings) -> str | None:
    """Why a submitter may not run code; None if allowed."""
    allowed = settings.allow_code
    if allowed == "off":
        return "must not be code of your own: this service accepts none (SASAM_ALLOW_CODE=off)"
    if allowed == "auto":
        if submitter == LOCAL:
            return None
        return (
            "must not be code of your own: a service with tokens accepts none unless "
            f"SASAM_ALLOW_CODE is {Role.ADMIN} or {Role.SUBMIT}"
        )
    if submitter.role.includes(Role(allowed)):
        return None
    return (
        f"must not be code of your own for the role {submitter.role}: only the role {allowed} may "
        f"submit some (SASAM_ALLOW_CODE={allowed})"
    )
