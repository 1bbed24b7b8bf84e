"""What settings refuse before anything starts."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.settings import Settings


@pytest.mark.parametrize(
    "path", ["gs://bucket", "file:///mnt/sasam", "s3://", "s3://Bucket", "s3://bucket/../x?a=b"]
)
def test_storage_path_that_is_neither_a_folder_nor_on_s3_is_refused(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("SASAM_STORAGE_PATH", path)
    with pytest.raises(
        ValidationError,
        match=r"must be a folder that all nodes share, .* or s3://bucket/prefix, got",
    ) as refusal:
        Settings()
    assert path in str(refusal.value)


@pytest.mark.parametrize("path", ["s3://bucket", "s3://my.bucket-1/sasam/v=1/"])
def test_storage_on_s3_keeps_journals_in_the_scratch_folder(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("SASAM_STORAGE_PATH", path)
    monkeypatch.setenv("SASAM_SCRATCH_PATH", "/var/lib/sasam/storage")
    settings = Settings()
    assert settings.storage_is_on_s3
    assert settings.resolved_storage_path == path.rstrip("/")
    assert settings.resolved_scratch_path == "/var/lib/sasam/storage"


def test_storage_in_a_folder_is_all_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SASAM_STORAGE_PATH", "/mnt/sasam")
    monkeypatch.setenv("SASAM_SCRATCH_PATH", "/var/lib/sasam/storage")
    assert Settings().resolved_scratch_path == Settings().resolved_storage_path == "/mnt/sasam"


def test_scratch_path_on_s3_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SASAM_SCRATCH_PATH", "s3://bucket")
    with pytest.raises(ValidationError, match="must be a folder on each node's own disk") as info:
        Settings()
    assert "s3://bucket" in str(info.value)
