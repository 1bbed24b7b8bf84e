"""Secrets: made, read from files, kept as digests."""

from __future__ import annotations

import hashlib
import logging
import secrets
import stat
from pathlib import Path

from service.security.errors import SecretFileError

__all__ = ["digest", "new_secret", "read_secret"]

_log = logging.getLogger(__name__)

_SECRET_BYTES = 32
_LEAST_CHARACTERS = 32


def new_secret(prefix: str = "") -> str:
    """A secret of 256 random bits; a prefix lets scanners of leaked secrets know it."""
    return prefix + secrets.token_urlsafe(_SECRET_BYTES)


def digest(secret: str) -> str:
    """SHA-256 of a secret; enough, and fast, for one of 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read_secret(path: Path, variable: str) -> str:
    """The secret in a file, without the blanks around it.

    Args:
        path: The file.
        variable: Environment variable that names it, for messages.

    Raises:
        SecretFileError: The file cannot be read or its secret is short enough to guess.
    """
    try:
        secret = path.read_text().strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SecretFileError(f"{variable}: {path} cannot be read ({reason})") from error
    if len(secret) < _LEAST_CHARACTERS:
        raise SecretFileError(
            f"{variable}: {path} holds {len(secret)} characters; give {_LEAST_CHARACTERS} or more "
            "at random, such as `openssl rand -hex 32` prints"
        )
    if mode & stat.S_IROTH:  # usual for secrets that are mounted into a container
        _log.warning("%s: %s can be read by every user of this machine", variable, path)
    return secret
