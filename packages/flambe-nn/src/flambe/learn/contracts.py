"""What training asks of the parts it is given. No base class is needed: an object that has these is one.

``flambe-compile`` reads them, and refuses an object of a class that lacks one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol


class Training(Protocol):
    """Data to train on: two sequences of examples."""

    @property
    def train(self) -> Any: ...

    @property
    def val(self) -> Any: ...


class TrainSplit(Protocol):
    """Data with training examples."""

    @property
    def train(self) -> Any: ...


class ValSplit(Protocol):
    """Data with validation examples."""

    @property
    def val(self) -> Any: ...


class TestSplit(Protocol):
    """Data with test examples."""

    @property
    def test(self) -> Any: ...


class Batches(Protocol):
    """Makes batches of examples: ``sample(data, n_epochs)``. What else of ``BaseSampler`` it has is used too."""

    def sample(self, data: Any, n_epochs: int = 1) -> Iterator[Any]: ...


class Score(Protocol):
    """A loss or metric: called with (prediction, target)."""

    def __call__(self, pred: Any, target: Any, /) -> Any: ...


class Stream(Protocol):
    """A metric that goes through a split batch by batch."""

    def aggregate(self, state: Any, pred: Any, target: Any) -> Any: ...

    def finalize(self, state: Any) -> Any: ...


class Schedule(Protocol):
    """A learning-rate scheduler, as those of PyTorch are."""

    def step(self) -> Any: ...

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


def check_parts(*, samplers: Mapping[str, Any], functions: Mapping[str, Any]) -> None:
    """Refuse what only Python can give, as no config does: a class in place of its object, and what is no sampler.

    samplers, functions: by argument. Raises TypeError.
    """
    for name, one in {**samplers, **functions}.items():
        if isinstance(one, type):
            raise TypeError(f"{name} is the class {one.__qualname__}; expected an object of it: {one.__qualname__}(…)")
    for name, one in samplers.items():
        if not hasattr(one, "sample"):
            kind = type(one).__qualname__
            raise TypeError(
                f"{name} is a {kind}, without sample(data, n_epochs); expected a sampler, such as BaseSampler(batch_size=32)"
            )


Split = Literal["train", "val", "test"]
AnySplit = TrainSplit | ValSplit | TestSplit
Measure = Score | Stream
