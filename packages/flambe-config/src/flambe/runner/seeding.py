"""Random numbers of a unit: Python's, numpy's, and those of every installed codec (torch)."""

from __future__ import annotations

import contextlib
import importlib.util
import random
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np

from flambe.spec.hooks import codecs, codecs_in_use, codecs_to_come


def seed_everything(seed: int, *, only_loaded: bool = False) -> None:
    """Seed every generator from one number in [0, 2**63). only_loaded: load no library for it."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    for codec in (codecs_in_use() if only_loaded else codecs()).values():
        codec.seed(seed)


@contextlib.contextmanager
def seeding_what_comes(seed: int) -> Iterator[None]:
    """Inside, a library that is imported begins at ``seed`` too: a function may import PyTorch itself, and nobody else waits for it."""
    finder = _Seeding(seed)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # code inside may have put others in its place
            sys.meta_path.remove(finder)


class _Seeding(MetaPathFinder):
    """Finds libraries that have a codec as they would be found without it, and seeds each when it is loaded."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._names = codecs_to_come()

    def find_spec(self, fullname: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in self._names:
            return None
        self._names.discard(fullname)  # so the others are asked
        found = importlib.util.find_spec(fullname)
        loader = None if found is None else found.loader
        if loader is not None:
            load = loader.exec_module

            def load_and_seed(module: ModuleType) -> None:
                del loader.exec_module
                load(module)
                codecs()[fullname].seed(self._seed)

            loader.exec_module = load_and_seed  # type: ignore[method-assign]
        return found


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
