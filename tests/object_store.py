"""A real S3 server on this machine, and an environment that leads there."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "sasam-tests"


class ObjectStore:
    """moto's server, with one bucket."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        self._address = self._server.get_host_and_port()
        self.url = "http://{}:{}".format(*self._address)

    def make_bucket(self) -> None:
        """Make the bucket, by what the environment says."""
        boto3.client("s3").create_bucket(Bucket=BUCKET)

    def names(self, prefix: str = "") -> list[str]:
        """The names of all files under a prefix."""
        listed = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for item in listed.get("Contents", ())]

    def version(self, name: str) -> object:
        """What changes when a file is written again."""
        return boto3.client("s3").head_object(Bucket=BUCKET, Key=name)["LastModified"]

    def stop(self) -> None:
        """Stop answering; what is stored stays."""
        self._server.stop()

    def start_again(self) -> None:
        """Answer again at the same address."""
        self._server = ThreadedMotoServer(*self._address, verbose=False)
        self._server.start()


@pytest.fixture(scope="module")
def object_store() -> Iterator[ObjectStore]:
    """A store that this process and those it starts take for S3."""
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
