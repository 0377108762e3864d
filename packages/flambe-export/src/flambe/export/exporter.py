"""A stage that groups objects, so that they are saved together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flambe.build.component import ATTRS, Component
from flambe.build.encoding import check
from flambe.errors import FlambeError


class Exporter(Component):
    """Group objects into one saved component, easy to link to and to load later.

    Every keyword becomes an attribute. Components and modules are saved as parts, in sub-folders of that name;
    plain values (numbers, text, tensors, lists and maps of these) are state.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        for name, value in kwargs.items():
            setattr(self, name, value)
        self.register_attrs(*(name for name, value in kwargs.items() if _is_plain(value)))

    def run(self) -> bool:
        """Return False: there is nothing to do but to be saved."""
        return False

    def saved_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments without those that are state: they may have changed, and need not be stored twice."""
        state = self.__dict__.get(ATTRS, ())
        return {name: value for name, value in arguments.items() if name not in state}

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], state: Mapping[str, Any]) -> Exporter:
        """Make a saved one: its parts are arguments, the rest is state."""
        return cls(**arguments, **state)


def _is_plain(value: Any) -> bool:
    try:
        check(value, "")
    except FlambeError:
        return False
    return True
