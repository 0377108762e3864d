"""``validate``: metrics of a model over one split, by one process or by several that take every n-th batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from torch import Tensor

from flambe.learn.batches import one_pass
from flambe.learn.optimizer_state import copied
from flambe.learn.processes import ALONE, Processes
from flambe.learn.tally import tally

Predict = Callable[[Any], tuple[Tensor, Tensor]]


def validate(
    metrics: Sequence[Any], sampler: Any, data: Any, predict: Predict, processes: Processes = ALONE
) -> list[float]:
    """Return each of ``metrics`` over one pass of ``sampler`` over ``data``, where ``predict`` makes (pred, target) of a batch.

    Several processes share the batches, where the order of these depends on a seed alone and every metric can be put together of what
    it counted of each batch. That is done in the order of the batches, so the values are those of one process, bit for bit.
    Otherwise each process goes through all of it, and the values of the first one count.

    Raises ValueError when there are no batches.
    """
    shared = processes.several and hasattr(sampler, "iterate") and all(tally(metric).can_merge for metric in metrics)
    if not shared:
        return processes.broadcast(tally_batches(metrics, one_pass(sampler, data), predict))
    if hasattr(sampler, "seed"):
        # It may have been drawn, and every process draws its own.
        sampler.seed = processes.broadcast(sampler.seed)
    mine = islice(one_pass(sampler, data), processes.rank, None, processes.world)
    counted = [_counted(metrics, *predict(batch)) for batch in mine]
    everyone = processes.gather(counted)
    return processes.broadcast(None if everyone is None else _merged(metrics, everyone, _devices(counted)))


def tally_batches(metrics: Iterable[Any], batches: Iterable[Any], predict: Predict) -> list[float]:
    """Return each of ``metrics`` over all ``batches``. Raises ValueError when there are none."""
    tallies = [tally(metric) for metric in metrics]
    empty = True
    for batch in batches:
        pred, target = predict(batch)
        empty = False
        for one in tallies:
            one.add(pred, target)
    _refuse_none(empty)
    return [one.value() for one in tallies]


def _counted(metrics: Sequence[Any], pred: Tensor, target: Tensor) -> list[Any]:
    """Return what each metric counts of one batch."""
    tallies = [tally(metric) for metric in metrics]
    for one in tallies:
        one.add(pred, target)
    return [one.state() for one in tallies]


def _devices(counted: list[list[Any]]) -> list[str]:
    """Return where each metric counts: what came from other processes is put there too, where the metric may have tensors of its own."""
    return [next((str(tensor.device) for tensor in _tensors(state)), "cpu") for state in (counted or [[]])[0]]


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def _merged(metrics: Sequence[Any], everyone: list[list[Any]], devices: Sequence[str]) -> list[float]:
    """Return the metrics of what process k counted of the batches k, k + n, …"""
    tallies = [tally(metric) for metric in metrics]
    count = sum(map(len, everyone))
    _refuse_none(count == 0)
    for number in range(count):
        states = everyone[number % len(everyone)][number // len(everyone)]
        for one, state, device in zip(tallies, states, devices, strict=True):
            one.merge(state if device == "cpu" else copied(state, device))
    return [one.value() for one in tallies]


def _refuse_none(empty: bool) -> None:
    if empty:
        raise ValueError("there is no batch to evaluate: the split is empty, or smaller than one batch of drop_last")
