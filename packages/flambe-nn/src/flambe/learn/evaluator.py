"""``Evaluator``: metrics of a model over one split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn

import flambe
from flambe.build.stateful import Stateful
from flambe.learn.batches import default_device, naming_split, to_device
from flambe.learn.class_order import tell_class_order
from flambe.learn.contracts import AnySplit, Batches, Measure, Split, check_parts
from flambe.learn.first_batches import check_split
from flambe.learn.pair import pair_of
from flambe.learn.tally import is_lower_better, metric_label
from flambe.learn.validation import validate
from flambe.sampler import BaseSampler


class Evaluator(Stateful):
    """Evaluate a model on one split. A single step, which may be run again.

    Parameters
    ----------
    dataset: has the splits ``train``, ``val`` and ``test``.
    model: called with all tensors of a batch, returns (prediction, target).
    metric_fn: called with (prediction, target); a ``flambe.metric.Metric`` or a torch loss.
    eval_sampler: default: batches of 16 in the order of the data. A few-shot model needs an ``EpisodicSampler``.
    eval_data: ``train``, ``val`` or ``test``.
    device: default ``cuda`` if there is one, else ``cpu``.
    lower_is_better: whether a smaller ``metric_fn`` is better, for ``reduce``. Losses and metrics that say so need not
        be told.
    extra_metrics: more metrics to log, of the same predictions.

    Logs ``Eval <metric>`` for each.

    Raises
    ------
    ValueError: for another ``eval_data``, and in ``run`` when the sampler makes no batch.
    ArgumentError: in ``run``, when the split is empty or the model gives no (prediction, target), or the sampler refuses it.
    """

    def __init__(
        self,
        dataset: AnySplit,
        model: nn.Module,
        metric_fn: Measure,
        eval_sampler: Batches | None = None,
        eval_data: Split = "test",
        device: str | None = None,
        lower_is_better: bool = False,
        extra_metrics: Sequence[Measure] | None = None,
    ) -> None:
        super().__init__()
        samplers = {} if eval_sampler is None else {"eval_sampler": eval_sampler}
        check_parts(samplers=samplers, functions={"metric_fn": metric_fn})
        if eval_data not in get_args(Split):
            raise ValueError(f"eval_data is {eval_data!r}; expected train, val or test")
        self.dataset = dataset
        self.model = model
        self.metric_fn = metric_fn
        self.eval_sampler = BaseSampler(batch_size=16, shuffle=False) if eval_sampler is None else eval_sampler
        self.eval_data = eval_data
        self.device = default_device(device)
        self.lower_is_better = lower_is_better or is_lower_better(metric_fn)
        self.model.to(self.device)
        self.extra_metrics = list(extra_metrics or ())
        for function in (metric_fn, *self.extra_metrics):
            if isinstance(function, nn.Module):
                function.to(self.device)
        self.eval_metric: float | None = None

    def _batch_to_device(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the batch on the evaluator's device. Override it for batches that are no tuples of tensors."""
        return to_device(batch, self.device)

    def _predict(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        return pair_of(self.model(*self._batch_to_device(batch)), self.model)

    def run(self, block_name: str | None = None) -> bool:
        """Evaluate. ``block_name`` is put before the log tag. Returns False: one step is all."""
        self.model.eval()
        with torch.inference_mode():
            data = check_split(self.dataset, self.eval_data)
            metrics = [self.metric_fn, *self.extra_metrics]
            tell_class_order(self.dataset, metrics)
            with naming_split(self.eval_data, self.eval_sampler, "eval_sampler"):
                values = validate(metrics, self.eval_sampler, data, self._predict)
        self.eval_metric = values[0]
        for metric, value in zip(metrics, values, strict=True):
            flambe.log(f"{f'{block_name} ' if block_name else ''}Eval {metric_label(metric)}", value, 0)
        return False

    def metric(self) -> float | None:
        """Return the metric of the last run, None before."""
        return self.eval_metric

    @property
    def metric_name(self) -> str:
        """What ``metric()`` is."""
        return f"Eval {metric_label(self.metric_fn)}"

    def _kept(self) -> dict[str, Any]:
        return {"eval_metric": self.eval_metric}

    def _take_back(self, kept: Mapping[str, Any]) -> Iterable[str]:
        self.eval_metric = kept["eval_metric"]
        return ()
