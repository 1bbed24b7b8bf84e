"""Stored specifications: their text and their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from workers.spec import read_stored
from workers.spec.writing import without_defaults, yaml_text

__all__ = ["specification_hash", "specification_text"]


def specification_text(specification: dict[str, object]) -> str:
    """A stored specification as YAML, without fields that have their default."""
    return yaml_text(without_defaults(read_stored(specification)))


def specification_hash(plain: Mapping[str, Any]) -> str:
    """Hash of a specification; equal for equal specifications."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
