"""The signatures of some search algorithms, for the compiler's tests; importing this file is a failure."""

from __future__ import annotations

raise ImportError("the compiler imported what it should only read")


class GridSearch:
    def __init__(self, space: None = None) -> None: ...


class RandomSearch:
    def __init__(self, trial_budget: int, seed: int | None = None, space: None = None) -> None: ...


class Hyperband:
    def __init__(self, step_budget: int, drop_rate: float = 3) -> None: ...


class Data:
    seedless = True

    def __init__(self, fraction: float = 1.0) -> None: ...
