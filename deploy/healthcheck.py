#!/usr/bin/env -S python3 -SI
"""Health check of containers: requests URLs, with Ray's token if there is one; prints errors."""

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

SECONDS = 5


def main() -> int:
    """Request each URL of the command line; return 0 if all succeed, else 1."""
    token = os.environ.get("RAY_AUTH_TOKEN", "")
    if not token and (path := os.environ.get("RAY_AUTH_TOKEN_PATH")):
        token = Path(path).read_text().strip()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for address in sys.argv[1:]:
        request = urllib.request.Request(address, headers=headers)  # noqa: S310 - URLs of the operator
        try:
            direct.open(request, timeout=SECONDS).close()
        except urllib.error.HTTPError as error:
            print(f"{address}: {error.code} {error.read(500).decode(errors='replace')}")  # noqa: T201
            return 1
        except OSError as error:
            print(f"{address}: {error}")  # noqa: T201
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
