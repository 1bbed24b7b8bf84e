"""Ray's Jobs API over HTTP; the service needs no Ray of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import httpx

from service.settings import Settings
from workers.job import ENTRYPOINT, JOB_VARIABLE, DriverJob

__all__ = [
    "JobState",
    "JobStatus",
    "NodeResources",
    "RayJobs",
    "RayUnavailableError",
    "read_submission_id",
    "submission_id",
]

_LEAST_VERSION = (2, 56)
"""Authentication by token, and what its first releases missed; pyproject.toml asks for the same."""
_TIMEOUT = httpx.Timeout(10.0)
_MOST_LOG_BYTES = 1 << 18
_LONGEST_STOP_SECONDS = 3600
"""How long a driver that was asked to end may deliver its results before Ray kills it."""
_SUBMISSION_ID = re.compile(r"sweep-([0-9a-f]+)-([0-9]+)")


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
        ended_at: When it ended, by the cluster's clock.
        node: The node that runs its entrypoint and keeps its log.
    """

    status: JobStatus
    exit_code: int | None
    message: str
    ended_at: datetime | None = None
    node: str | None = None


@dataclass(frozen=True, slots=True)
class NodeResources:
    """What a node of the cluster has in all, in use or not."""

    cpus: float
    gpus: float


def submission_id(sweep_id: str, attempt: int) -> str:
    """Ray's id of a driver; never used twice."""
    return f"sweep-{sweep_id}-{attempt}"


def read_submission_id(name: str) -> tuple[str, int] | None:
    """The sweep and the attempt of a driver; None for another's job."""
    match = _SUBMISSION_ID.fullmatch(name)
    return (match[1], int(match[2])) if match else None


class RayJobs:
    """The jobs of one Ray cluster."""

    def __init__(self, settings: Settings) -> None:
        self._address = str(settings.ray_address).rstrip("/")
        self._token_path = settings.ray_token_path
        self._client = httpx.Client(base_url=self._address, timeout=_TIMEOUT)

    def version(self) -> str:
        """Ray's version; a sign of life.

        Raises:
            RayUnavailableError: There is none, or it is too old to be safe.
        """
        with self._understood():
            found = str(self._request("GET", "/api/version").json()["ray_version"])
        numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
        if numbers < _LEAST_VERSION:
            least = ".".join(map(str, _LEAST_VERSION))
            raise RayUnavailableError(
                f"Ray at {self._address} is version {found}; this service needs {least} or newer"
            )
        return found

    def submit(self, job: DriverJob) -> None:
        """Start a driver; does nothing when it has been started before.

        Raises:
            RayUnavailableError: Ray does not answer, or is too old.
        """
        self.version()
        name = submission_id(job.sweep_id, job.attempt)
        body = {
            "entrypoint": ENTRYPOINT,
            "submission_id": name,
            "runtime_env": {
                "env_vars": {
                    JOB_VARIABLE: job.model_dump_json(),
                    "RAY_JOB_STOP_WAIT_TIME_S": str(_LONGEST_STOP_SECONDS),
                }
            },
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
            return _job_state(answer.json())

    def drivers(self) -> dict[str, JobState]:
        """All drivers that the cluster knows, by their ids.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        answer = self._request("GET", "/api/jobs/")
        with self._understood():
            return {
                name: _job_state(job)
                for job in answer.json()
                if (name := job.get("submission_id")) and read_submission_id(name)
            }

    def nodes(self) -> list[NodeResources]:
        """The nodes that are alive.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        answer = self._request("GET", "/api/v0/nodes?detail=true&limit=10000")
        with self._understood():
            return [
                NodeResources(
                    cpus=float(node["resources_total"].get("CPU", 0)),
                    gpus=float(node["resources_total"].get("GPU", 0)),
                )
                for node in answer.json()["data"]["result"]["result"]
                if node["state"] == "ALIVE"
            ]

    def node_summaries(self) -> list[dict[str, Any]]:
        """What Ray's dashboard shows of each node: resources, load, devices.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        answer = self._request("GET", "/nodes?view=summary")
        with self._understood():
            return list(answer.json()["data"]["summary"])

    def stop(self, name: str) -> None:
        """Ask a job to end: SIGTERM, and SIGKILL when it has not within an hour.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        self._request("POST", f"/api/jobs/{name}/stop", missing_is_fine=True)

    def log_tail(self, name: str, *, lines: int) -> str | None:
        """The last lines that a job has printed, at most 256 KiB; None when it is unknown.

        Raises:
            RayUnavailableError: Ray does not answer, or the node with the log does not.
        """
        job = self.state(name)
        if job is None or job.node is None:
            return None
        file = f"job-driver-{name}.log"
        query = {"node_id": job.node, "filename": file, "lines": str(lines)}
        tail = bytearray()
        try:
            with self._client.stream(
                "GET", "/api/v0/logs/file", params=query, headers=self._headers()
            ) as answer:
                if answer.is_error:
                    raise RayUnavailableError(
                        f"Ray at {self._address} has no log of {name}: {answer.status_code}"
                    )
                for chunk in answer.iter_bytes():
                    tail += chunk
                    del tail[:-_MOST_LOG_BYTES]
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        return tail.decode(errors="replace")

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
            raise self._silent(error) from error
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

    def _silent(self, error: httpx.HTTPError) -> RayUnavailableError:
        reason = str(error) or type(error).__name__
        return RayUnavailableError(f"Ray does not answer at {self._address}: {reason}")

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


def _job_state(job: dict[str, Any]) -> JobState:
    """What Ray says of a job, in our words."""
    end_ms = job.get("end_time")
    return JobState(
        JobStatus(job["status"]),
        job.get("driver_exit_code"),
        job.get("message") or "",
        datetime.fromtimestamp(end_ms / 1000, UTC) if end_ms else None,
        job.get("driver_node_id"),
    )
