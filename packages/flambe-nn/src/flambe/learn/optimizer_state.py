"""The states of optimizers and learning-rate schedulers, as values that can be stored."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor


def copied(value: Any, device: str | None = None) -> Any:
    """Return ``value`` with every tensor in it cloned, to ``device`` if given."""
    if isinstance(value, Tensor):
        return value.detach().to(device or value.device, copy=True)
    if isinstance(value, dict):
        return {key: copied(item, device) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(item, device) for item in value)
    return copy.deepcopy(value)


def plain(value: Any) -> Any:
    """Return a scheduler's state as plain data.

    ``MultiStepLR`` has a Counter in it, and what the builder notes on an object (how it was made) is an attribute of
    the scheduler and so part of its ``state_dict()``.
    """
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if not str(key).startswith("_flambe")}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def like(value: Any, model: Any) -> Any:
    """Return ``value`` with the subclasses of dict that ``model`` has at the same places."""
    if isinstance(value, dict) and isinstance(model, dict):
        items = {key: like(item, model.get(key)) for key, item in value.items()}
        return items if type(model) is dict else type(model)(items)
    return value
