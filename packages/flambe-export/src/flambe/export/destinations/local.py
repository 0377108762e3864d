"""Artifacts in a folder of this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from flambe.build.saving import put_in_place
from flambe.errors import ConfigError, UsageError
from flambe.export.artifact import ARTIFACT, Artifact, read_artifact
from flambe.record.refused import kept_in


class LocalDestination:
    """A folder. An artifact arrives by one rename of a folder that was finished beside it."""

    def __init__(self, address: str) -> None:
        if "://" in address:
            raise ConfigError(f"storage local cannot write to {address}", expected="a path", hint="Set storage: s3.")
        self.path = Path(os.path.abspath(Path(address).expanduser()))

    def check(self, *, force: bool) -> None:
        if not os.path.lexists(self.path):
            return
        if not self.path.is_dir() or self.path.is_symlink():
            raise UsageError(f"{self.path} is no folder", hint="Name another destination.")
        found = {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if not path.is_dir()}
        if not found:
            return
        if not force:
            raise UsageError(f"{self.path} is not empty", hint="Name another destination, or replace it with --force.")
        artifact = read_artifact(self.path)
        foreign = sorted(found - {ARTIFACT, *(artifact.files if artifact else ())})
        if foreign:
            raise UsageError(
                f"{self.path} holds {foreign[0]!r}, which is part of no artifact",
                hint="--force replaces an earlier artifact and deletes nothing else. Name another destination.",
            )

    def publish(self, folder: Path, artifact: Artifact) -> str:
        with kept_in(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # On the same disk as its place, so that it arrives by a rename and not by a copy.
            aside = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
            try:
                put_in_place(Path(shutil.copytree(folder, aside / "new")), self.path)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        return str(self.path)
