"""``VersionManager``: what a class of the user's is that makes the copy of the code which a run executes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class VersionManager(ABC):
    """Made anew for each run. ``__run__`` names it: ``__snapshot__: {name: package.module.Class, argument: value}``."""

    @abstractmethod
    def make_working_directory(self) -> str:
        """Make, or find, a folder with the code as it is to be run, and return it. The function's package is looked for there, at
        the place that it has below the folder of its code.
        """

    def get_info(self) -> dict[str, Any]:
        """Return what the record is to say of it, as plain data. Called after ``make_working_directory``."""
        return {}


__all__ = ["VersionManager"]
