"""Random numbers of a unit: Python's, numpy's, and those of every installed codec (torch)."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from flambe.spec.hooks import codecs, codecs_in_use


def seed_everything(seed: int, *, only_loaded: bool = False) -> None:
    """Seed every generator from one number in [0, 2**63). only_loaded: load no library for it."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    for codec in (codecs_in_use() if only_loaded else codecs()).values():
        codec.seed(seed)


def rng_state(*, only_loaded: bool = False) -> dict[str, Any]:
    """Return the state of every generator, as storable values. only_loaded: load no library for it."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(internal), gauss],
        "numpy": [name, keys, position, has_gauss, cached],
        **{name: codec.rng_state() for name, codec in (codecs_in_use() if only_loaded else codecs()).items()},
    }


def set_rng_state(state: dict[str, Any], *, only_loaded: bool = False) -> None:
    """Put every generator back to where ``rng_state`` found it. only_loaded: load no library for it."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.asarray(keys, dtype=np.uint32), position, has_gauss, cached))
    for name, codec in (codecs_in_use() if only_loaded else codecs()).items():
        if name in state:
            codec.set_rng_state(state[name])
