"""Where the service is and how the caller shows who he is, when the program does not say.

address    base_url, SASAM_URL, http://127.0.0.1:8420
token      token, SASAM_TOKEN, the file that SASAM_TOKEN_FILE names, none
"""

from __future__ import annotations

import os
from pathlib import Path

from service.client.errors import TokenFileError

__all__ = ["address", "credentials"]

_DEFAULT_ADDRESS = "http://127.0.0.1:8420"


def address(base_url: str | None) -> str:
    """The service's address."""
    return base_url if base_url is not None else os.environ.get("SASAM_URL") or _DEFAULT_ADDRESS


def credentials(token: str | None) -> dict[str, str]:
    """The headers that show a token; none where there is no token.

    Raises:
        TokenFileError: The file of the token cannot be read, or the token is none.
    """
    token = token or os.environ.get("SASAM_TOKEN") or _from_file(os.environ.get("SASAM_TOKEN_FILE"))
    if not token:
        return {}
    token = token.strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise TokenFileError("the token has characters that no token has; copy it once more")
    return {"Authorization": f"Bearer {token}"}


def _from_file(name: str | None) -> str | None:
    if not name:
        return None
    try:
        token = Path(name).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise TokenFileError(f"SASAM_TOKEN_FILE {name}: {reason.lower()}") from error
    if not token:
        raise TokenFileError(f"SASAM_TOKEN_FILE {name} is empty")
    return token
