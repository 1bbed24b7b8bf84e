"""HTTP servers that answer at will, and networks that lose a part of what they pass on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

__all__ = ["Network"]


class Network:
    """Servers that are not ours, and ways to ours that lose something."""

    @staticmethod
    @contextmanager
    def server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
        """An HTTP server that answers everything with one function."""

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                answer(self)

            do_GET = do_POST = do_DELETE = _handle  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    @staticmethod
    def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
        """Answer a request."""
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    @contextmanager
    def losing_first_answer(self, upstream: str, method: str = "POST") -> Iterator[str]:
        """A network that passes every request on, and loses the first answer to one method."""
        lost = threading.Event()

        def answer(handler: BaseHTTPRequestHandler) -> None:
            body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
            sent = httpx.request(
                handler.command,
                upstream + handler.path,
                content=body,
                headers=dict(handler.headers),
            )
            if handler.command == method and not lost.is_set():
                lost.set()
                handler.close_connection = True
            else:
                self.answer(handler, sent.status_code, sent.content)

        with self.server(answer) as url:
            yield url

    @contextmanager
    def cutting_streams(
        self, upstream: str, after_bytes: int, seen: list[str | None]
    ) -> Iterator[str]:
        """A network that breaks every stream of events off after some bytes.

        ``seen`` gets the ``Last-Event-ID`` of each connection.
        """

        def answer(handler: BaseHTTPRequestHandler) -> None:
            with httpx.stream(
                handler.command, upstream + handler.path, headers=dict(handler.headers)
            ) as sent:
                kind = sent.headers.get("content-type", "")
                if not kind.startswith("text/event-stream"):
                    self.answer(handler, sent.status_code, sent.read())
                    return
                seen.append(handler.headers.get("Last-Event-ID"))
                handler.close_connection = True
                handler.send_response(sent.status_code)
                handler.send_header("Content-Type", kind)
                handler.send_header("Content-Length", "1000000")  # so that an early end is a fault
                handler.end_headers()
                left = after_bytes
                for part in sent.iter_raw():
                    handler.wfile.write(part[:left])
                    left -= len(part)
                    if left <= 0:
                        return

        with self.server(answer) as url:
            yield url
