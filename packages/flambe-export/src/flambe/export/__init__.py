"""Finished components as artifacts: built from a YAML file, stored in a folder or on S3, checked by digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

__all__ = ["Artifact", "Builder", "Exporter"]

__getattr__ = lazily(__name__, {"Artifact": "artifact", "Builder": "builder", "Exporter": "exporter"})

if TYPE_CHECKING:
    from flambe.export.artifact import Artifact
    from flambe.export.builder import Builder
    from flambe.export.exporter import Exporter
