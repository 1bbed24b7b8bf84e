"""Client of Ray's Jobs API over HTTP; the service itself does not import Ray."""

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
from service.unavailable import RayUnavailableError
from workers.job import ENTRYPOINT, JOB_VARIABLE, DriverJob

__all__ = [
    "JobState",
    "JobStatus",
    "NodeResources",
    "RayJobs",
    "RayUnavailableError",
    "parse_submission_id",
    "submission_id",
]

_MIN_VERSION = (2, 56)
"""The first release whose authentication by token is complete; pyproject.toml requires the same."""
_SETTING = "SASAM_RAY_ADDRESS"
"""The setting with Ray's address; messages name it in place of the address."""
_TIMEOUT = httpx.Timeout(10.0)
_MAX_LOG_BYTES = 1 << 18
_MAX_STOP_SECONDS = 3600
"""Time that a driver has to deliver its results after SIGTERM, before Ray kills it."""
_SUBMISSION_ID = re.compile(r"sweep-([0-9a-f]+)-([0-9]+)")


class JobStatus(StrEnum):
    """Status of a job, as Ray names it."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"

    @property
    def is_over(self) -> bool:
        """Whether the job's processes have ended."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED}


@dataclass(frozen=True, slots=True)
class JobState:
    """State of a job.

    Args:
        status: Its status.
        exit_code: Exit status of its entrypoint; None before the end, or if unknown.
        message: Ray's explanation of the status.
        ended_at: When it ended, by the cluster's clock; None before.
        node: Id of the node that runs its entrypoint and keeps its log; None before there is one.
    """

    status: JobStatus
    exit_code: int | None
    message: str
    ended_at: datetime | None = None
    node: str | None = None


@dataclass(frozen=True, slots=True)
class NodeResources:
    """Total resources of a node of the cluster, in use or not."""

    cpus: float
    gpus: float


def submission_id(sweep_id: str, attempt: int) -> str:
    """Submission id of a driver in Ray; unique per attempt."""
    return f"sweep-{sweep_id}-{attempt}"


def parse_submission_id(name: str) -> tuple[str, int] | None:
    """Sweep id and attempt of a driver; None if the job is not a driver of sasam."""
    match = _SUBMISSION_ID.fullmatch(name)
    return (match[1], int(match[2])) if match else None


class RayJobs:
    """The jobs of one Ray cluster."""

    def __init__(self, settings: Settings) -> None:
        self._address = str(settings.ray_address).rstrip("/")
        self._token_path = settings.ray_token_path
        self._client = httpx.Client(base_url=self._address, timeout=_TIMEOUT)

    def version(self) -> str:
        """Ray's version.

        Raises:
            RayUnavailableError: Ray does not answer, or is too old to be safe.
        """
        with self._parsing():
            found = str(self._request("GET", "/api/version").json()["ray_version"])
        numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
        if numbers < _MIN_VERSION:
            oldest = ".".join(map(str, _MIN_VERSION))
            raise RayUnavailableError(
                f"Ray at {_SETTING} is version {found}; this service needs {oldest} or newer",
                self._address,
            )
        return found

    def submit(self, job: DriverJob) -> None:
        """Start a driver; does nothing if it was started before.

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
                    "RAY_JOB_STOP_WAIT_TIME_S": str(_MAX_STOP_SECONDS),
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
        """State of a job; None if the cluster does not know it.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        answer = self._request("GET", f"/api/jobs/{name}", missing_is_fine=True)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        with self._parsing():
            return _job_state(answer.json())

    def drivers(self) -> dict[str, JobState]:
        """All drivers that the cluster knows, by submission id.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        answer = self._request("GET", "/api/jobs/")
        with self._parsing():
            return {
                name: _job_state(job)
                for job in answer.json()
                if (name := job.get("submission_id")) and parse_submission_id(name)
            }

    def nodes(self) -> list[NodeResources]:
        """The nodes that are alive.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        answer = self._request("GET", "/api/v0/nodes?detail=true&limit=10000")
        with self._parsing():
            return [
                NodeResources(
                    cpus=float(node["resources_total"].get("CPU", 0)),
                    gpus=float(node["resources_total"].get("GPU", 0)),
                )
                for node in answer.json()["data"]["result"]["result"]
                if node["state"] == "ALIVE"
            ]

    def node_summaries(self) -> list[dict[str, Any]]:
        """Ray's summary of each node: resources, load, devices.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        answer = self._request("GET", "/nodes?view=summary")
        with self._parsing():
            return list(answer.json()["data"]["summary"])

    def stop(self, name: str) -> None:
        """Stop a job: SIGTERM, and SIGKILL if it has not ended within an hour.

        Raises:
            RayUnavailableError: Ray does not answer.
        """
        self._request("POST", f"/api/jobs/{name}/stop", missing_is_fine=True)

    def log_tail(self, name: str, *, lines: int) -> str | None:
        """The last lines of a job's log, at most 256 KiB; None if the job is unknown.

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
                        f"Ray at {_SETTING} has no log of {name} (status {answer.status_code})",
                        self._address,
                    )
                for chunk in answer.iter_bytes():
                    tail += chunk
                    del tail[:-_MAX_LOG_BYTES]
        except httpx.HTTPError as error:
            raise self._no_answer(error) from error
        return tail.decode(errors="replace")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _request(
        self, method: str, path: str, *, missing_is_fine: bool = False, json: Any = None
    ) -> httpx.Response:
        """Send one request with the cluster's token."""
        try:
            answer = self._client.request(method, path, json=json, headers=self._headers())
        except httpx.HTTPError as error:
            raise self._no_answer(error) from error
        if missing_is_fine and answer.status_code == httpx.codes.NOT_FOUND:
            return answer
        if answer.is_error:
            text = answer.text.strip().splitlines()
            reason = text[-1][:300] if text else "no reason given"
            raise RayUnavailableError(
                f"Ray at {_SETTING} answers {method} {path} with {answer.status_code}",
                f"{self._address}: {reason}",
            )
        return answer

    def _no_answer(self, error: httpx.HTTPError) -> RayUnavailableError:
        reason = str(error) or type(error).__name__
        return RayUnavailableError(
            f"Ray does not answer at {_SETTING}", f"{self._address}: {reason}"
        )

    @contextmanager
    def _parsing(self) -> Iterator[None]:
        """Report an answer of unknown form: it is not Ray that answers, or another version."""
        try:
            yield
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            raise RayUnavailableError(
                f"the server at {_SETTING} does not speak Ray's Jobs API",
                f"{self._address}: {type(error).__name__}: {error}",
            ) from error

    def _headers(self) -> dict[str, str]:
        """Headers with the token, read each time: its file may change while the service runs."""
        if self._token_path is None:
            return {}
        try:
            token = self._token_path.read_text().strip()
        except OSError as error:
            raise RayUnavailableError(
                "Ray's token cannot be read (SASAM_RAY_TOKEN_PATH)", str(error)
            ) from error
        return {"Authorization": f"Bearer {token}"}


def _job_state(job: dict[str, Any]) -> JobState:
    """Decode Ray's description of a job."""
    end_ms = job.get("end_time")
    return JobState(
        JobStatus(job["status"]),
        job.get("driver_exit_code"),
        job.get("message") or "",
        datetime.fromtimestamp(end_ms / 1000, UTC) if end_ms else None,
        job.get("driver_node_id"),
    )
