"""Where artifacts are put: one small interface, one file for each kind of storage."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from flambe.errors import ConfigError
from flambe.export.artifact import Artifact

__all__ = ["Destination", "Storage", "destination_of"]

Storage = Literal["local", "s3"]


class Destination(Protocol):
    """A place that holds at most one artifact."""

    def check(self, *, force: bool) -> None:
        """Raise ``UsageError`` when the place is not free.

        It is free when it is empty, or when ``force`` is set and it holds an artifact and nothing else.
        """

    def publish(self, folder: Path, artifact: Artifact) -> str:
        """Move the sealed artifact in ``folder`` here, in place of an earlier one, and return its address.

        A reader sees the earlier one whole, the new one whole, or none that can be loaded; never a mixture.
        """


def destination_of(storage: Storage, address: str) -> Destination:
    """Return the place for ``storage`` (``local`` or ``s3``). Raises ConfigError for an unknown storage or address."""
    if storage == "local":
        from flambe.export.destinations.local import LocalDestination

        return LocalDestination(address)
    if storage == "s3":
        from flambe.export.destinations.s3 import S3Destination

        return S3Destination(address)
    raise ConfigError(f"there is no storage {storage!r}", expected="local or s3")
