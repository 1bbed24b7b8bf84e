"""Signs messages as the Standard Webhooks specification has it, so that receivers have libraries.

    webhook-signature: v1,base64(HMAC-SHA256(key, "ID.TIMESTAMP.BODY"))

A receiver computes the same, compares in constant time, and refuses timestamps that are minutes
old; the id is the same for every try of a message.
"""

from __future__ import annotations

import base64
import binascii
import hmac

__all__ = ["signed_headers", "signing_key"]

_PREFIX = "whsec_"


def signing_key(secret: str) -> bytes:
    """The key of a secret: its bytes, or what follows ``whsec_`` in base64."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass  # a secret of another kind that begins alike
    return secret.encode()


def signed_headers(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Headers that let a receiver know sender, time and integrity of a message."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
