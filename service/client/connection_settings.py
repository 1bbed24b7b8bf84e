"""Address and token of the service, from arguments or the environment.

address    base_url, else SASAM_URL, else http://127.0.0.1:8420
token      token, else SASAM_TOKEN, else the content of the file SASAM_TOKEN_FILE, else none
"""

from __future__ import annotations

import os
from pathlib import Path

from service.client.errors import TokenFileError

__all__ = ["authorization_headers", "service_address"]

_DEFAULT_ADDRESS = "http://127.0.0.1:8420"


def service_address(base_url: str | None) -> str:
    """The service's address."""
    return base_url if base_url is not None else os.environ.get("SASAM_URL") or _DEFAULT_ADDRESS


def authorization_headers(token: str | None) -> dict[str, str]:
    """The headers that authenticate requests; empty without a token.

    Raises:
        TokenFileError: The token file cannot be read, or the token is invalid.
    """
    token = token or os.environ.get("SASAM_TOKEN") or _from_file(os.environ.get("SASAM_TOKEN_FILE"))
    if not token:
        return {}
    token = token.strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise TokenFileError(
            "the token contains characters that tokens never contain (allowed: printable ASCII "
            "without spaces); copy it again"
        )
    return {"Authorization": f"Bearer {token}"}


def _from_file(name: str | None) -> str | None:
    """The token in a file; None without a file name."""
    if not name:
        return None
    try:
        token = Path(name).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise TokenFileError(f"SASAM_TOKEN_FILE {name}: {reason.lower()}") from error
    if not token:
        raise TokenFileError(f"SASAM_TOKEN_FILE {name} is empty")
    return token
