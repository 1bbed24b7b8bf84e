"""Requests that no client of good faith sends, made up at random from a seed.

Each combines a route of the application, pages included, with strange values in its path, query,
headers and body: what the parsers of the standard library, Starlette and this service get to see.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote_from_bytes

from service.security.sessions import COOKIE
from tests.support.guarded_site import SPECIFICATION

__all__ = ["Generator", "StrangeRequest"]

_TEXTS: tuple[bytes, ...] = (
    b"", b" ", b"a", b"0", b"-1", b"1", b"%", b"%%", b"%zz", b"\x00", b"a\x00b", b"\r\n",
    b"\t\x0b\x1b[31m", b"\xff\xfe", b"\xed\xa0\x80", b"\xf0\x9f\x92\xa9", b"\xc3\x28",
    "\u202e\u0661\xb2".encode(), b"'\"<>&;--", b"${7*7}{{7*7}}", b"../../etc/passwd",
    b"//evil.example/\\", b"http://[", b"http://[::1", b"http://a:b@c:99999999", b"http://\xff",
    b"[", b"]", b"[::1]:x", b"x:y:z", b"null", b"NaN", b"-inf", b"1e400", b"0x10", b"1_000",
    b"9" * 30, b"9" * 5_000, b"-" + b"9" * 400, b"=" * 50, b"a=b&" * 30, b"A" * 3_000,
    b"2026-02-30", b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59",
    b"MDAwMS0wMS0wMVQwMDowMDowMCswMDowMSBhYg==", b"e30=", b"!!!", b"true", b"maybe", b"W/\"x\"",
    b"\"", b"*", b"q=;,;=", b"{", b"[" * 2_000, b"1" + b",1" * 500,
)  # fmt: skip
"""Values for any place."""

_QUERY_NAMES: tuple[str, ...] = (
    "state", "name", "cursor", "limit", "tail", "attempt", "before", "after", "sweep", "sweeps",
    "q", "page", "preset", "clone", "figure", "metric", "split", "whole", "next", "role",
    "dry_run", "force", "format", "target", "within", "optimizer", "status", "offset", "sort",
    "scale", "theme", "level", "seed", "budget", "all", "x", "y", "color",
)  # fmt: skip
_HEADER_NAMES: tuple[str, ...] = (
    "origin", "referer", "content-type", "content-length", "content-encoding",
    "transfer-encoding", "cookie", "authorization", "last-event-id", "idempotency-key",
    "if-none-match", "if-match", "if-modified-since", "if-range", "accept", "accept-encoding",
    "accept-language", "range", "expect", "upgrade", "x-forwarded-for", "x-forwarded-proto",
    "x-forwarded-host", "x-forwarded-prefix", "forwarded", "x-request-id",
    "x-http-method-override", "sec-fetch-site", "hx-request", "hx-target", "hx-current-url",
    "hx-trigger", "user-agent",
)  # fmt: skip
_HEADER_VALUES: dict[str, tuple[bytes, ...]] = {
    "origin": (
        b"http://[", b"http://[::1", b"//", b"http://testserver", b"null", b"http://a\xff",
    ),
    "content-type": (
        b"application/x-www-form-urlencoded",
        b"application/x-www-form-urlencoded; charset=utf-7", b"multipart/form-data",
        b"multipart/form-data; boundary=", b"multipart/form-data; boundary=x",
        b"multipart/form-data; boundary=" + b"x" * 1_000, b"application/json; charset=\xff",
        b";;;", b"application/yaml", b"text/html; charset=no-such-charset",
    ),
    "content-length": (b"0", b"-5", b"+5", b"5, 5", b"9" * 5_000, b"\xb2", b"1_0"),
    "cookie": (
        f"{COOKIE}=x".encode(), f"{COOKIE}=\"\\777\\".encode(),
        f"{COOKIE}=\xff".encode("latin-1"), b"=;=;", b"a=b;" * 300,
        f"{COOKIE}={COOKIE}={COOKIE}".encode(), f'{COOKIE}="\\400\\ud800"'.encode(),
    ),
    "authorization": (
        b"Bearer", b"Bearer \xff\xfe", b"Bearer \x00", b"Basic \xff", b"Bearer  " + b"x" * 3_000,
    ),
    "last-event-id": (
        b"-1", b"9" * 25, b"9" * 5_000, b"\xb2", b"1.5", b"2147483648", b"9223372036854775808",
    ),
    "range": (
        b"bytes=0-", b"bytes=-1", b"bytes=9-1", b"bytes=" + b"0-1," * 300, b"lines=1",
        b"bytes=" + b"9" * 5_000 + b"-",
    ),
    "if-modified-since": (
        b"Thu, 99 Foo 99999 99:99:99 GMT", b"0", b"Thu, 01 Jan 1970 00:00:00 +9999",
    ),
    "host": (
        b"", b"[", b"[::1", b"[::1]:x", b"127.0.0.1:/healthz?", b"localhost:99999999",
        b"localhost:\xb2", b"\xff", b"127.0.0.1:80@evil.example", b"localhost/healthz?",
        b"127.0.0.1:/login#", b"[fe80::1%25eth0]", b"::1",
    ),
    "accept": (
        b"text/html", b"text/html", b"application/json", b"*/*;q=x", b"text/event-stream",
        b"image/png",
    ),
    "sec-fetch-site": (b"same-origin", b"cross-site", b"none", b"\xff"),
    "x-forwarded-proto": (b"https", b"gopher", b"\xff"),
}  # fmt: skip
_FORM_NAMES = ("token", "next", "specification", "form", "force", "preset", "x")
_SWEEP_PLACES = ("sweep_id", "clone", "sweeps", "sweep")


@dataclass(frozen=True, slots=True)
class StrangeRequest:
    """One request, as bytes.

    Attributes:
        method: Its method.
        path: Path as it is sent, escaped.
        query: What follows the question mark.
        headers: Names in lower case, with their values; a name may come twice.
        body: Parts in which the body arrives.
    """

    method: str
    path: bytes
    query: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)


class Generator:
    """Makes requests up.

    Args:
        seed: The same seed makes the same requests.
        routes: Methods and templates of paths.
        sweep_ids: Sweeps that exist, which some requests are about.
        credentials: Values of ``Authorization`` that are valid; none is a choice, too.
    """

    def __init__(
        self,
        seed: int,
        routes: Sequence[tuple[str, str]],
        sweep_ids: Sequence[str],
        credentials: Sequence[bytes],
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 - what is made up must be the same again
        self._routes = routes
        self._sweep_ids = [sweep_id.encode() for sweep_id in sweep_ids]
        self._credentials = credentials

    def request(self) -> StrangeRequest:
        """The next one."""
        rng = self._random
        method, template = rng.choice(self._routes)
        if rng.random() < 0.05:
            method = rng.choice(["GET", "POST", "PUT", "HEAD", "OPTIONS", "TRACE", "BREW", "get"])
        content_type, body = (b"", b"")
        if method == "POST" or rng.random() < 0.05:
            content_type, body = self._body()
        cut = rng.randrange(len(body) + 1)
        return StrangeRequest(
            method=method,
            path=self._path(template),
            query=self._query(),
            headers=self._headers(content_type),
            body=[body[:cut], body[cut:]],
        )

    def _text(self) -> bytes:
        """A value for any place: one of the list, two of them, or random bytes."""
        rng = self._random
        kind = rng.random()
        if kind < 0.7:
            return rng.choice(_TEXTS)
        if kind < 0.85:
            return rng.choice(_TEXTS)[:200] + rng.choice(_TEXTS)[:200]
        return rng.randbytes(rng.randrange(1, 40))

    def _path(self, template: str) -> bytes:
        """A template with its parameters filled in, some with what exists."""
        parts = []
        for part in template.split("/"):
            if not part.startswith("{"):
                parts.append(part.encode())
            elif part.strip("{}").startswith("sweep_id") and self._random.random() < 0.7:
                parts.append(self._random.choice(self._sweep_ids))
            else:
                known = [b"pause", b"resume", b"cancel", b"best", b"digits", b"heatmap.svg", b"1"]
                is_known = self._random.random() < 0.5
                value = self._random.choice(known) if is_known else self._text()[:600]
                parts.append(quote_from_bytes(value, safe="").encode())
        return b"/".join(parts) or b"/"

    def _query(self) -> bytes:
        rng = self._random
        pairs = []
        for _ in range(rng.choice([0, 0, 1, 1, 2, 5])):
            name = rng.choice(_QUERY_NAMES)
            is_sweep = name in _SWEEP_PLACES and rng.random() < 0.5
            value = rng.choice(self._sweep_ids) if is_sweep else self._text()
            # Some arrive as they are: a server passes on what another one would have escaped.
            plain = value if rng.random() < 0.2 else quote_from_bytes(value, safe="").encode()
            pairs.append(name.encode() + b"=" + plain.replace(b" ", b"+"))
        return b"&".join(pairs)

    def _headers(self, content_type: bytes) -> list[tuple[bytes, bytes]]:
        rng = self._random
        host = self._header("host") if rng.random() < 0.2 else b"testserver:80"
        headers = [(b"host", b"127.0.0.1:80" if host == b"testserver:80" else host)]
        if content_type:
            headers.append((b"content-type", content_type))
        if rng.random() < 0.8:
            headers.append((b"authorization", rng.choice(self._credentials)))
        for name in rng.sample(_HEADER_NAMES, rng.choice([0, 1, 2, 4])):
            headers.append((name.encode(), self._header(name)))
        return headers

    def _header(self, name: str) -> bytes:
        """A value of a header; servers let no line break and no zero byte through."""
        own = _HEADER_VALUES.get(name)
        value = self._random.choice(own) if own and self._random.random() < 0.7 else self._text()
        return value.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"").strip()

    def _body(self) -> tuple[bytes, bytes]:
        """A content type and a body, which may have nothing to do with each other."""
        rng = self._random
        kind = rng.randrange(6)
        if kind == 0:
            return b"application/x-www-form-urlencoded", self._form(
                rng.choice([1, 2, 3, 101, 2_000])
            )
        if kind == 1:
            return b"multipart/form-data; boundary=x", self._multipart()
        if kind == 2:
            return b"application/yaml", self._specification()
        if kind == 3:
            fields = {"specification": self._specification(), "form": self._text()}
            pairs = (f"{name}={quote_from_bytes(value)}" for name, value in fields.items())
            return b"application/x-www-form-urlencoded", "&".join(pairs).encode()
        return self._header("content-type"), self._text()

    def _form(self, count: int) -> bytes:
        rng = self._random
        fields = []
        for _ in range(count):
            name = rng.choice(_FORM_NAMES).encode() if rng.random() < 0.8 else self._text()[:50]
            value = self._text() if count < 10 else b"x"
            plain = value if rng.random() < 0.3 else quote_from_bytes(value).encode()
            fields.append(name + b"=" + plain)
        return rng.choice([b"&", b"&", b"&", b";", b"&&"]).join(fields)

    def _multipart(self) -> bytes:
        rng = self._random
        parts = []
        for _ in range(rng.choice([0, 1, 3, 200])):
            name = rng.choice(_FORM_NAMES).encode() if rng.random() < 0.7 else self._text()[:50]
            parts.append(
                b'--x\r\nContent-Disposition: form-data; name="'
                + name
                + b'"\r\n\r\n'
                + self._text()[:100]
            )
        return b"\r\n".join([*parts, rng.choice([b"--x--\r\n", b"--x", b"--y--", b""])])

    def _specification(self) -> bytes:
        """A specification with a piece replaced."""
        rng = self._random
        text = SPECIFICATION.encode()
        if rng.random() < 0.3:
            return text
        start = rng.randrange(len(text))
        return text[:start] + self._text()[:500] + text[start + rng.randrange(1, 20) :]
