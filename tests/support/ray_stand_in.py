"""A stand-in for Ray's Jobs API, spoken to over HTTP."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["RayStandIn"]


class RayStandIn:
    """Ray's Jobs API over HTTP, with jobs that tests move by hand."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.submissions: list[dict[str, Any]] = []
        self.stops: list[str] = []
        self.is_unavailable = False
        self.answers_are_lost = False
        self.stops_at_once = True
        self.nodes = [{"CPU": 2.0, "memory": 1e9}]
        self.logs = "first\nlast\n"
        self.body: bytes | None = None
        """Body of every response; None for Ray's own."""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._serve({})

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self._serve(json.loads(text or b"{}"))

            def _serve(self, body: dict[str, Any]) -> None:
                if stand_in.is_unavailable:
                    return  # the connection ends without an answer
                status, answer = stand_in._answer(self.command, self.path, body)
                if stand_in.answers_are_lost and self.command == "POST":
                    return
                text = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                text = text if stand_in.body is None else stand_in.body
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def _answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/api/version":
            return 200, {"ray_version": "2.60.0"}
        if path.startswith("/api/v0/nodes?"):
            nodes = [{"state": "ALIVE", "resources_total": node} for node in self.nodes]
            return 200, {"data": {"result": {"result": nodes}}}
        if path.startswith("/api/v0/logs/file?"):
            return 200, self.logs
        if path == "/api/jobs/" and method == "GET":
            return 200, [{"submission_id": name, **job} for name, job in self.jobs.items()]
        if path == "/api/jobs/":
            name = body["submission_id"]
            if name in self.jobs:
                return 500, f"Job with submission_id {name} already exists"
            self.submissions.append(body)
            self.move(name, "PENDING", message="waits")
            return 200, {"submission_id": name}
        name, _, action = path.removeprefix("/api/jobs/").partition("/")
        if name not in self.jobs:
            return 404, f"Job {name} does not exist"
        if action == "stop":
            self.stops.append(name)
            if self.stops_at_once:
                self.move(name, "STOPPED")
            return 200, {"stopped": True}
        return 200, self.jobs[name]

    def move(
        self, name: str, status: str, *, exit_code: int | None = None, message: str = ""
    ) -> None:
        """Bring a job to a status."""
        is_over = status in {"SUCCEEDED", "FAILED", "STOPPED"}
        self.jobs[name] = {
            "status": status,
            "driver_exit_code": exit_code,
            "message": message,
            "end_time": time.time_ns() // 1_000_000 if is_over else None,
            "driver_node_id": "abc",
        }

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
