"""What settings refuse before anything starts."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.settings import Settings


@pytest.mark.parametrize("path", ["s3://bucket/sasam", "gs://bucket", "file:///mnt/sasam"])
def test_storage_path_that_is_no_folder_is_refused(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("SASAM_STORAGE_PATH", path)
    with pytest.raises(ValidationError, match="must be a folder that all nodes share") as refusal:
        Settings()
    assert path in str(refusal.value)
