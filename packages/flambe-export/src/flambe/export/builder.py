"""Build a component after training, and store it for those who use it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flambe.build.component import Component
from flambe.build.saving import save_component
from flambe.errors import ConfigError
from flambe.export.artifact import Artifact, seal
from flambe.export.destinations import Destination, Storage, destination_of


class Builder(Component):
    """Build any component and store it as an artifact: a saved component with one digest over its files.

    Parameters
    ----------
    component: what to build; typically an engine around ``!SomeModel.load_from_path {path: …}``.
    destination: a folder, or ``s3://bucket/folder`` with ``storage: s3``.
    storage: ``local`` or ``s3`` (needs ``flambe-export[s3]``; credentials and ``AWS_ENDPOINT_URL`` as boto3 reads them).
    compress: refused: a component is a folder whose parts load alone.
    pickle_only, pickle_module: refused: nothing is stored in a form that runs code when it is opened.
    pickle_protocol: accepted from older files, without effect.
    """

    def __init__(
        self,
        component: Any,
        destination: str,
        storage: Storage = "local",
        compress: bool = False,
        pickle_only: bool = False,
        pickle_module: Any = None,
        pickle_protocol: int | None = None,
    ) -> None:
        super().__init__()
        if pickle_only or pickle_module is not None:
            raise ConfigError(
                "a builder stores no pickle: opening one runs whatever code is in it",
                hint="Leave out pickle_only and pickle_module; the saved folder holds the same object.",
            )
        if compress:
            raise ConfigError(
                "a builder stores folders, not archives: the parts of a folder load alone",
                hint="Leave out compress; flambe.save(component, path, compress=True) writes an archive.",
            )
        self.component = component
        self.destination = destination
        self.storage = storage
        self.compress = compress
        self.pickle_protocol = pickle_protocol
        self.artifact: Artifact | None = None
        self.address: str | None = None
        self._place: Destination = destination_of(storage, destination)

    def run(self, force: bool = False, **kwargs: Any) -> bool:
        """Store the component at the destination and return False: one step is all.

        force: replace the artifact that is there. ``extensions`` (module → source) among ``kwargs`` is recorded in
        the artifact. Raises ``UsageError`` when the destination is not free.
        """
        self._store(self._place, force=force, extensions=kwargs.get("extensions"))
        return False

    def save_local(self, force: bool = False) -> None:
        """Store the component in the folder ``destination``, whatever ``storage`` says."""
        self._store(destination_of("local", self.destination), force=force)

    def save_s3(self, force: bool = False) -> None:
        """Store the component at the S3 address ``destination``, whatever ``storage`` says."""
        self._store(destination_of("s3", self.destination), force=force)

    def _store(self, place: Destination, *, force: bool, extensions: Mapping[str, str] | None = None) -> None:
        place.check(force=force)
        with tempfile.TemporaryDirectory(prefix="flambe-build-") as scratch:
            folder = Path(scratch) / "component"
            save_component(self.component, folder, extensions=dict(extensions or {}))
            self.artifact = seal(folder)
            self.address = place.publish(folder, self.artifact)
