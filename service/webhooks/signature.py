"""Signatures of webhooks by the Standard Webhooks specification.

    webhook-signature: v1,base64(HMAC-SHA256(key, "ID.TIMESTAMP.BODY"))

A receiver computes the signature itself, compares in constant time, and rejects timestamps that are
minutes old; the id is the same for each attempt to deliver a message.

The package ``standardwebhooks`` would replace only the two lines of the HMAC: it decodes every
secret as base64, so secrets in plain text would still need the code below.
"""

from __future__ import annotations

import base64
import binascii
import hmac

__all__ = ["signed_headers", "signing_key"]

_PREFIX = "whsec_"


def signing_key(secret: str) -> bytes:
    """The signing key: the decoded base64 after ``whsec_``, else the bytes of the secret."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass  # a plain secret with the same prefix
    return secret.encode()


def signed_headers(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Headers by which a receiver verifies sender, time and integrity of a message."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
