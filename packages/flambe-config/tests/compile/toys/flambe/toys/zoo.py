"""Classes as researchers have them, with an annotation of every kind; importing this file is a failure."""
# ruff: noqa: UP006, UP007, UP035, UP037, UP045 - the old ways to annotate are what is tested

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Dict, List, Literal, NewType, Optional, Tuple, TypeVar, Union

from flambe.build.component import Component
from flambe.toys.parts import Words

raise ImportError("the compiler imported what it should only read")

Kind = TypeVar("Kind", bound="Optimizer")
Weights = NewType("Weights", float)
Number = Union[int, float]


class Optimizer(Component):
    def __init__(self, params: Any) -> None: ...


class Adam(Optimizer):
    def __init__(
        self, params: Any, lr: float = 1e-3, betas: Tuple[float, float] = (0.9, 0.999), amsgrad: bool = False
    ) -> None: ...


class StepLR(Component):
    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None: ...


class Sampler(Component):
    def __init__(self, batch_size: int = 64, shuffle: bool = True) -> None: ...


class Network(Component):
    def __init__(self, hidden: int = 8, dropout: float = 0.0, cell: Literal["lstm", "gru"] = "lstm") -> None:
        self.hidden_size: int = hidden

    @property
    def weights(self) -> list[float]: ...

    @classmethod
    def pretrained(cls, name: str) -> Network: ...

    def freeze(self, layers: int) -> None: ...


class Judge(Component):
    def __init__(self, dataset: Words, model: Network, metric_fn: Any = None) -> None: ...


class Coach(Component):
    def __init__(
        self,
        dataset: Words,
        model: Network,
        sampler: Sampler,
        optimizer: Optimizer,
        scheduler: Optional[StepLR] = None,
        loss_fn: Optional[Callable[..., float]] = None,
        max_steps: int = 10,
        max_norm: Optional[float] = None,
        device: "str | None" = None,
        lower_is_better: bool = False,
        sizes: Union[int, List[int]] = 1,
        columns: Sequence[str] = (),
        class_weights: Optional[Dict[str, float]] = None,
        options: Mapping[str, int] = {},
        patience: t.Optional[int] = None,
        precision: Literal[16, 32] = 32,
        smoothing: Weights = Weights(0.0),
        best: Optional[Kind] = None,
        decay: Number = 0,
    ) -> None: ...

    def run(self) -> bool: ...

    def metric(self) -> float: ...
