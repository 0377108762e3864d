"""Parameters that are set again after a state was taken over from another variant.

The state of an optimizer holds its learning rate, that of a component what it registered: loading brings the donor's values
back. What was chosen anew counts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path as Folder
from typing import Any

import msgspec

from flambe.record.layout import EXPLORED
from flambe.spec.nodes import Path


def explored_step(resume: Folder) -> int | None:
    """Return how many steps a unit has made that continues from the state of another; None where the state is its own."""
    try:
        return int(msgspec.json.decode((resume / EXPLORED).read_bytes())["step"])
    except FileNotFoundError:
        return None


def set_again(resume: Folder, objects: Mapping[Path, Any]) -> None:
    """Set the parameters of a unit's new choice on its objects. objects: config path (the stage first) → what was
    built there.

    Only plain data is set: an attribute of that name, and the value of every parameter group where there are such (PyTorch's
    optimizers), with the base of the schedules over them.
    """
    choice: dict[str, Any] = msgspec.json.decode((resume / EXPLORED).read_bytes())["choice"]
    by_text = {tuple(str(part) for part in path[1:]): value for path, value in objects.items()}
    for dotted in choice:
        path = _parts(dotted)
        if path not in by_text or isinstance(by_text[path], list | dict):
            continue
        value, parent, name = by_text[path], by_text.get(path[:-1]), path[-1]
        if not isinstance(value, bool | int | float | str | None):
            continue
        groups = getattr(parent, "param_groups", None)
        if isinstance(groups, list):
            for group in groups:
                group.update({key: value for key in _names_of(name) if key in group})
            for other in objects.values():
                if name == "lr" and getattr(other, "optimizer", None) is parent and hasattr(other, "base_lrs"):
                    other.base_lrs = [value] * len(groups)
        elif hasattr(parent, name):
            with contextlib.suppress(AttributeError):  # computed from something else
                setattr(parent, name, value)


def _names_of(name: str) -> tuple[str, ...]:
    return (name, "initial_lr") if name == "lr" else (name,)


def _parts(dotted: str) -> tuple[str, ...]:
    """Return the parts of a dotted path, in which ``\\.`` is a dot of a key."""
    return tuple(part.replace("\0", ".") for part in dotted.replace("\\.", "\0").split("."))
