"""A real S3 server on this machine, and the environment that points at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from moto.server import ThreadedMotoServer

__all__ = ["BUCKET", "ObjectStore", "object_store"]

BUCKET = "sasam-tests"


class ObjectStore:
    """moto's server with one bucket, in a thread of this process."""

    def __init__(self) -> None:
        self._server = _start_server("127.0.0.1", 0)
        self._address: tuple[str, int] = self._server.get_host_and_port()
        self.url = "http://{}:{}".format(*self._address)

    def make_bucket(self) -> None:
        """Make the bucket; credentials and address come from the environment."""
        _client().create_bucket(Bucket=BUCKET)

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of all files that start with ``prefix``."""
        listed = _client().list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for item in listed.get("Contents", ())]

    def version(self, name: str) -> object:
        """Return a value that changes whenever the file is written."""
        return _client().head_object(Bucket=BUCKET, Key=name)["LastModified"]

    def stop(self) -> None:
        """Stop the server; its content stays."""
        self._server.stop()

    def start_again(self) -> None:
        """Start the server at its previous address."""
        self._server = _start_server(*self._address)


def _start_server(host: str, port: int) -> ThreadedMotoServer:
    """Start a server; moto is slow to import."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(host, port, verbose=False)
    server.start()
    return server


def _client() -> Any:
    """A client of the store in the environment; boto3 is slow to import."""
    import boto3

    return boto3.client("s3")


@pytest.fixture(scope="module")
def object_store() -> Iterator[ObjectStore]:
    """An S3 store at which the environment of this process and of its children points."""
    store = ObjectStore()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", store.url)
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        store.make_bucket()
        try:
            yield store
        finally:
            store.stop()
