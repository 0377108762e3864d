"""A stage that groups objects, so that they are saved together."""

from __future__ import annotations

from typing import Any

from flambe.build.component import Component


class Exporter(Component):
    """Group objects into one saved component, easy to link to and to load later.

    Every keyword becomes an attribute. Components and modules are saved as parts, in sub-folders of that name;
    plain values (numbers, text, tensors, lists and maps of these) are part of the state.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        for name, value in kwargs.items():
            setattr(self, name, value)

    def run(self) -> bool:
        """Return False: there is nothing to do but to be saved."""
        return False
