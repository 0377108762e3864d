"""``try_first_batches``: one batch of each split goes through model, loss and metrics before anything is validated or trained.

What is done with every batch is done with one, by a twin of the trainer on the same weights: random numbers, samplers, statistics
and logs stay as they were. It costs two batches forward. What does not fit is told by the argument at fault.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor, nn

from flambe.build.made import signature_of
from flambe.errors import ArgumentError, FlambeError
from flambe.learn.batches import naming_split, one_pass
from flambe.learn.bounds import Argument, Bounds
from flambe.learn.class_order import tell_class_order
from flambe.learn.network import Network
from flambe.learn.optimization import check_optimization
from flambe.learn.pair import BOTH, NoPair, shape_of, shown
from flambe.learn.processes import ALONE
from flambe.learn.tally import tally
from flambe.learn.twin import leaving_no_trace, twin_of
from flambe.learn.unlikely import tell_unlikely
from flambe.metric.metric import NoNumber
from flambe.runner.culprit import culprit_of, frames_of, owners

if TYPE_CHECKING:
    from flambe.learn.trainer import Trainer

_logger = logging.getLogger(__name__)

_CLASSES = "[N, C] and classes [N] (int64)"
_TAKES: Mapping[type, str] = {
    nn.NLLLoss: f"log-probabilities {_CLASSES}",
    nn.CrossEntropyLoss: f"scores {_CLASSES}",
    nn.BCELoss: "probabilities and targets, both floating-point and of one shape",
    **dict.fromkeys(
        (nn.BCEWithLogitsLoss, nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss),
        "predictions and targets, both floating-point and of one shape",
    ),
}
"""What losses of torch take: their own errors may not say it."""

# Errors that say what they have to, and what the twin takes may be just too much.
_PASS = (FlambeError, torch.cuda.OutOfMemoryError)


def try_first_batches(trainer: Trainer) -> None:
    """Raise ``ArgumentError`` for what cannot train, or can make nothing of the first batch of a split."""
    for split in ("train", "val"):
        check_split(trainer.dataset, split)
    tell_class_order(trainer.dataset, [trainer.metric_fn, *trainer.extra_validation_metrics])
    # With patience it may be fewer.
    steps = trainer.max_steps if trainer.patience is None else None
    iterations = None if steps is None else steps * trainer.iterations
    schedules = [("scheduler", trainer.scheduler, steps), ("iter_scheduler", trainer.iter_scheduler, iterations)]
    check_optimization(trainer.model, trainer.optimizer, schedules)
    twin = _twin(trainer)
    if twin is None:
        return
    with leaving_no_trace(), suppress(torch.cuda.OutOfMemoryError):
        classes = None
        if _is_own(twin, "_train_step"):
            twin.model.train()
            classes = _Trial(twin, "train", twin.train_sampler).train()
        tell_unlikely(trainer.dataset, trainer.model, trainer.train_sampler, classes)
        if _is_own(twin, "_eval_step") and _is_own(twin, "_aggregate_preds"):
            twin.model.eval()
            with torch.inference_mode():
                _Trial(twin, "val", twin.val_sampler).validate()


def check_split(dataset: Any, split: str) -> Any:
    """Return the examples of a split. Raises ``ArgumentError`` where there are none."""
    data = getattr(dataset, split, None)
    if data is None or (hasattr(data, "__len__") and len(data) == 0):
        what = f"the {type(dataset).__qualname__} has no examples in its split {split!r}"
        raise ArgumentError(what, argument=["dataset"], hint=f"Give it some, or another data set that has {split}.")
    return data


def _twin(trainer: Trainer) -> Trainer | None:
    shared = (
        trainer.dataset, trainer.optimizer, trainer.scheduler, trainer.iter_scheduler, trainer._updates, trainer._precision,
        trainer._processes, trainer._best, trainer._batches, trainer._network,
    )  # fmt: skip
    twin = twin_of(trainer, shared=shared)
    if twin is not None:
        # Neither compiled nor waiting for other processes.
        twin._network = Network(twin.model, False, ALONE)
    return twin


def _is_own(trainer: Trainer, method: str) -> bool:
    """Whether a method is that of ``Trainer`` itself: what another one does with batches nobody knows."""
    return str(getattr(type(trainer), method).__module__) == "flambe.learn.trainer"


class _Trial:
    """The first batch of one split. Entered while it goes through the twin's parts: what they raise is told by argument."""

    def __init__(self, twin: Trainer, split: str, sampler: Any) -> None:
        self._twin = twin
        self._split = split
        self._data = check_split(twin.dataset, split)
        self._parts = _parts(twin)
        self._batch = self._drawn(sampler)
        modules = {path: part for path, part in self._parts.items() if isinstance(part, nn.Module)}
        self._bounds = Bounds(split, self._data, modules, self._path_of(twin.model))
        self._gave: Any = None
        self._hooks: list[Any] = []

    def train(self) -> int | None:
        """Compute the loss of the batch. Returns of how many classes the model gives scores, where the loss is one of classes."""
        twin = self._twin
        with self, twin._precision.computing():
            loss = twin._compute_loss(twin._batch_to_device(self._batch))
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            hint = "Set reduction: mean." if getattr(twin.loss_fn, "reduction", "mean") != "mean" else None
            self._refuse(("loss_fn",), f"gives {shown(loss)}", expected="a tensor with one number", hint=hint)
        if not loss.requires_grad:
            if not any(parameter.requires_grad for parameter in twin.model.parameters()):
                self._refuse(self._path_of(twin.model), "has no weights that may be trained (requires_grad is false)")
            self._refuse(("loss_fn",), "has no gradient", expected="a differentiable function of the prediction")
        return self._bounds.classes

    def validate(self) -> None:
        """Count the predictions in the loss and in each metric."""
        twin = self._twin
        with self:
            pred, target = twin._predict_in_full(self._batch)
            for metric in (twin.loss_fn, twin.metric_fn, *twin.extra_validation_metrics):
                counted = tally(metric)
                try:
                    counted.add(pred, target)
                except _PASS:
                    raise
                except Exception as error:
                    self._fails(self._path_of(metric), metric, [pred, target], error)
                try:
                    counted.value()
                except NoNumber as error:
                    self._refuse(self._path_of(metric), f"gives {error.gave}", expected=error.expected, cause=error)
                except Exception as error:
                    # One batch may be too little for it (a class may be missing), where the split is not.
                    _logger.debug("%s of one batch: %s", type(metric).__qualname__, error)

    def __enter__(self) -> None:
        twin, bounds = self._twin, self._bounds
        to_device = type(twin)._batch_to_device

        def kept(batch: Any) -> Any:
            bounds.batch = to_device(twin, batch)
            return bounds.batch

        twin._batch_to_device = kept  # type: ignore[method-assign]  # of the twin alone
        self._hooks = [
            twin.model.register_forward_pre_hook(self._before_call),
            twin.model.register_forward_hook(self._after_call),
            *bounds.watch(twin.loss_fn),
        ]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        if isinstance(error, NoPair) or (isinstance(error, Exception) and not isinstance(error, _PASS)):
            self._blame(error)

    def _drawn(self, sampler: Any) -> Any:
        argument = f"{self._split}_sampler"
        with naming_split(self._split, sampler, argument):
            batch = next(one_pass(sampler, self._data), None)
        if batch is None:
            what = f"{argument} ({type(sampler).__qualname__}) makes no batch of the split {self._split!r}"
            raise ArgumentError(what, argument=[argument])
        return batch

    def _before_call(self, model: nn.Module, given: tuple[Any, ...]) -> None:
        signature = inspect.signature(model.forward)
        try:
            signature.bind(*given)
        except TypeError as error:
            # Where a batch has other columns than an example it was the sampler that made them.
            made = isinstance(example := _first(self._data), tuple) and len(example) != len(self._bounds.batch)
            path = (f"{self._split}_sampler",) if made else self._path_of(model)
            plain = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
            takes = f"what {type(model).__qualname__}.forward{inspect.Signature(plain)} takes"
            self._refuse(path, f"{'makes' if made else 'gets'} {shown(given)}", expected=takes, cause=error)

    def _after_call(self, model: nn.Module, given: tuple[Any, ...], gave: Any) -> None:
        self._gave = gave

    # --- whose fault it is ---

    def _path_of(self, part: Any) -> Argument:
        return next((path for path, one in self._parts.items() if one is part), ())

    def _blame(self, error: Exception) -> None:
        """Raise an ``ArgumentError`` for what a part of the twin raised. What no part raised goes on as it is."""
        culprit = culprit_of(error, self._parts)
        if culprit is not None:
            self._fails(culprit.path, culprit.value, _tensors_given(error, culprit.value), error)
        if isinstance(error, NoPair) or (isinstance(error, TypeError | ValueError) and "unpack" in str(error)):
            hint = "No column of the dataset is a target." if len(self._bounds.batch) == 1 else BOTH
            path = self._path_of(self._twin.model)
            self._refuse(path, f"gives {shown(self._gave)}", expected="(prediction, target)", hint=hint, cause=error)

    def _fails(self, path: Argument, part: Any, given: Sequence[Tensor], error: Exception) -> NoReturn:
        shapes = f", given {' and '.join(map(shape_of, given))}" if given else ""
        said = f"fails{shapes}: {type(error).__name__}: {str(error).rstrip('.')}"
        double = any(one.dtype == torch.float64 for one in given) and "Double" in str(error)
        hint = "Make the data float32, as the weights are." if double else None
        self._refuse(path, said, expected=_TAKES.get(type(part)), hint=hint, cause=error)

    def _refuse(
        self,
        path: Argument,
        what: str,
        *,
        expected: str | None = None,
        hint: str | None = None,
        cause: Exception | None = None,
    ) -> NoReturn:
        name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)[1:]
        part: Any = self._twin
        for key in path:
            part = part[key] if isinstance(key, int) else getattr(part, key)
        kind = getattr(part, "__qualname__", type(part).__qualname__)
        text = f"{name} ({kind}), with the first batch of {self._split}, {what}"
        raise ArgumentError(text, argument=path, expected=expected, hint=hint) from cause


def _parts(twin: Trainer) -> dict[Argument, Any]:
    """Return the objects that the twin was given, by argument. Arguments of its own class come before those of ``Trainer``."""
    found: dict[Argument, Any] = {}
    for kind in type(twin).__mro__:
        signature = signature_of(kind) if "__init__" in vars(kind) else None
        for name in signature.parameters if signature is not None else ():
            value = getattr(twin, name, None)
            if isinstance(value, list | tuple):
                found.update({(name, index): one for index, one in enumerate(value)})
            elif value is not None and value is not twin.dataset and not any(value is one for one in found.values()):
                found[(name,)] = value
    return found


def _first(data: Any) -> Any:
    try:
        return data[0]
    except (TypeError, LookupError):
        return None


def _tensors_given(error: Exception, part: Any) -> list[Tensor]:
    """Return what tensors a part was called with: those of the outermost call of it that an error came through."""
    for frame in frames_of(error):
        if not any(one is getattr(part, "__code__", part) for one in owners(frame)):
            continue
        code = frame.f_code
        count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)
        values = [frame.f_locals.get(name) for name in code.co_varnames[:count]]
        flat = [one for value in values for one in (value if isinstance(value, tuple) else [value])]
        if tensors := [one for one in flat if isinstance(one, Tensor)]:
            return tensors
    return []


__all__ = ["check_split", "try_first_batches"]
