"""``twin_of``: a copy of a trainer on the same weights and data, with which something can be tried and leaves no trace."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import nn
from torch.nn.parameter import is_lazy

from flambe.build.made import made_of
from flambe.learn.batches import BatchStream
from flambe.logging.buffer import MetricBuffer, current_buffer, use_buffer
from flambe.runner.seeding import rng_state, set_rng_state

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


def twin_of(owner: _T, *, shared: tuple[Any, ...]) -> _T | None:
    """Return a copy of ``owner``: models, losses, metrics and samplers of its own, but the same weights; None where some part
    cannot be copied.

    shared: what is no part of the copy and is used as it is; data sets (``immutable``) are so anyway. Samplers whose order depends on
    nothing but their seed are used too, unless they start processes: those of the copy start none.
    """
    kept = [one for one in vars(owner).values() if getattr(one, "immutable", False) or _is_pure(one)]
    for module in _modules(owner):
        own = list(module.parameters(recurse=False))
        if any(map(is_lazy, own)):
            return None
        # A lookup with max_norm changes the rows it reads.
        kept += own if getattr(module, "max_norm", None) is None else []
        # What an object was made of is a long way round to all data.
        kept += [made for made in [made_of(module)] if made is not None]
    kept += [made for made in [made_of(owner)] if made is not None]
    try:
        twin = copy.deepcopy(owner, {id(one): one for one in (*shared, *kept)})
    except Exception as error:  # whatever a class of the user's has against being copied
        _logger.debug("%s cannot be copied: %s", type(owner).__qualname__, error)
        return None
    for one in vars(twin).values():
        sampler = one.sampler if isinstance(one, BatchStream) else one
        if _workers(sampler):
            sampler.n_workers = 0
    return twin


@contextmanager
def leaving_no_trace() -> Iterator[None]:
    """Put the random-number generators back afterwards, and throw away what is logged."""
    numbers, buffer = rng_state(), current_buffer()
    use_buffer(MetricBuffer())
    try:
        yield
    finally:
        use_buffer(buffer)
        set_rng_state(numbers)


def _is_pure(value: Any) -> bool:
    return hasattr(value, "iterate") and hasattr(value, "sample") and not _workers(value)


def _workers(sampler: Any) -> int:
    workers: int = getattr(sampler, "n_workers", None) or 0
    return workers


def _modules(owner: Any) -> Iterator[nn.Module]:
    for value in vars(owner).values():
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, nn.Module):
                yield from one.modules()
