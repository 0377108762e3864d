"""A unit that goes on from the state of another one of its population, with another choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from flambe.compile.search import Filler
from flambe.runner.unit import Unit


def explored(unit: Unit, body: Any, choice: Mapping[str, Any], key: str) -> Unit:
    """Return ``unit`` as it is after it was given another choice.

    body: of its stage, with the search in it. choice: dotted path inside the stage → value. key: the name of what comes of it.
    """
    params = {f"{unit.stage}.{path}": value for path, value in choice.items()}
    changed = {path: value for path, value in params.items() if unit.params.get(path) != value}
    kept = {path: value for path, value in unit.explored.items() if path not in params}
    return msgspec.structs.replace(unit, body=Filler(body)(dict(choice)), key=key, explored={**kept, **changed})
