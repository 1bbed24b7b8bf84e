"""Secrets: generation, digests, reading from files."""

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
_MIN_CHARACTERS = 32


def new_secret(prefix: str = "") -> str:
    """Generate a secret of 256 random bits; scanners for leaked secrets can find a prefix."""
    return prefix + secrets.token_urlsafe(_SECRET_BYTES)


def digest(secret: str) -> str:
    """SHA-256 of a secret; a slow hash adds nothing for 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read_secret(path: Path, variable: str) -> str:
    """Read the secret in a file, without surrounding whitespace.

    Args:
        path: The file.
        variable: The environment variable with the path, for messages.

    Raises:
        SecretFileError: The file cannot be read, or the secret has fewer than 32 characters.
    """
    try:
        secret = path.read_text().strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SecretFileError(f"{variable}: {path} cannot be read ({reason})") from error
    if len(secret) < _MIN_CHARACTERS:
        raise SecretFileError(
            f"{variable}: {path} has {len(secret)} characters; it needs {_MIN_CHARACTERS} or more "
            "at random, such as those that `openssl rand -hex 32` prints"
        )
    if mode & stat.S_IROTH:  # usual for secrets that are mounted into a container
        _log.warning("%s: %s can be read by every user of this machine", variable, path)
    return secret
