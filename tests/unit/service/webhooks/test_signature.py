"""Signatures, against the example of the Standard Webhooks specification."""

from __future__ import annotations

from service.webhooks.signature import signed_headers, signing_key


def test_signature_is_that_of_the_specifications_example() -> None:
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    headers = signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_other_id_time_body_or_key_is_another_signature() -> None:
    signatures = {
        signed_headers(key, name, moment, body)["webhook-signature"]
        for key in (b"a" * 32, b"b" * 32)
        for name in ("1", "2")
        for moment in (1, 2)
        for body in (b"", b"{}")
    }
    assert len(signatures) == 16


def test_secret_that_is_no_base64_is_taken_as_it_is() -> None:
    assert signing_key("plain text") == b"plain text"
    assert signing_key("whsec_!") == b"whsec_!"
