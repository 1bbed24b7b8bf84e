"""Ray's Jobs API over HTTP; the service needs no Ray of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx

from service.settings import Settings
from workers.job import ENTRYPOINT, JOB_VARIABLE, DriverJob

__all__ = ["JobState", "JobStatus", "RayJobs", "RayUnavailableError", "submission_id"]

_TIMEOUT = httpx.Timeout(10.0)


class RayUnavailableError(RuntimeError):
    """Ray does not answer, or refuses to."""


class JobStatus(StrEnum):
    """Ray's word for where a job stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"

    @property
    def is_over(self) -> bool:
        """Whether the job's processes are gone."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED}


@dataclass(frozen=True, slots=True)
class JobState:
    """What Ray says of a job.

    Args:
        status: Where it stands.
        exit_code: Exit status of its entrypoint, once there is one.
        message: Why it stands there.
    """

    status: JobStatus
    exit_code: int | None
    message: str


def submission_id(sweep_id: str, attempt: int) -> str:
    """Ray's id of a driver; never used twice."""
    return f"sweep-{sweep_id}-{attempt}"


class RayJobs:
    """The jobs of one Ray cluster."""

    def __init__(self, settings: Settings) -> None:
        self._address = str(settings.ray_address).rstrip("/")
        self._token_path = settings.ray_token_path
        self._client = httpx.Client(base_url=self._address, timeout=_TIMEOUT)

    def version(self) -> str:
        """Ray's version; a sign of life.

        Raises:
            RayUnavailableError: There is none.
        """
        with self._understood():
            return str(self._request("GET", "/api/version").json()["ray_version"])

    def submit(self, job: DriverJob) -> None:
        """Start a driver; does nothing when it has been started before.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        name = submission_id(job.sweep_id, job.attempt)
        body = {
            "entrypoint": ENTRYPOINT,
            "submission_id": name,
            "runtime_env": {"env_vars": {JOB_VARIABLE: job.model_dump_json()}},
            "metadata": {"sweep": job.sweep_id, "attempt": str(job.attempt)},
        }
        try:
            self._request("POST", "/api/jobs/", json=body)
        except RayUnavailableError:
            if self.state(name) is None:
                raise

    def state(self, name: str) -> JobState | None:
        """Where a job stands; None when this cluster does not know it.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        answer = self._request("GET", f"/api/jobs/{name}", missing_is_fine=True)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        with self._understood():
            job = answer.json()
            return JobState(
                JobStatus(job["status"]), job.get("driver_exit_code"), job.get("message") or ""
            )

    def stop(self, name: str) -> None:
        """Ask a job to end: SIGTERM, then SIGKILL.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        self._request("POST", f"/api/jobs/{name}/stop", missing_is_fine=True)

    def logs(self, name: str) -> str:
        """All that a job has printed; empty when this cluster does not know it.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        answer = self._request("GET", f"/api/jobs/{name}/logs", missing_is_fine=True)
        with self._understood():
            return "" if answer.is_error else str(answer.json().get("logs") or "")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _request(
        self, method: str, path: str, *, missing_is_fine: bool = False, json: Any = None
    ) -> httpx.Response:
        """One call with the cluster's token."""
        try:
            answer = self._client.request(method, path, json=json, headers=self._headers())
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise RayUnavailableError(
                f"Ray does not answer at {self._address}: {reason}"
            ) from error
        if missing_is_fine and answer.status_code == httpx.codes.NOT_FOUND:
            return answer
        if answer.is_error:
            text = answer.text.strip().splitlines()
            detail = text[-1][:300] if text else "no reason given"
            call = f"{method} {path}"
            raise RayUnavailableError(
                f"Ray at {self._address} answers {call} with {answer.status_code}: {detail}"
            )
        return answer

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Something else than Ray may listen there, and answers of Ray may change."""
        try:
            yield
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            detail = f"{type(error).__name__}: {error}"
            raise RayUnavailableError(
                f"what answers at {self._address} does not speak Ray's Jobs API ({detail})"
            ) from error

    def _headers(self) -> dict[str, str]:
        """The token is read each time: it may be replaced while the service runs."""
        if self._token_path is None:
            return {}
        try:
            token = self._token_path.read_text().strip()
        except OSError as error:
            raise RayUnavailableError(f"Ray's token cannot be read: {error}") from error
        return {"Authorization": f"Bearer {token}"}
