"""``Trainer``: validate, train for a while, again and again, and keep the best weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

import flambe
from flambe.build.component import Component
from flambe.learn.batches import BatchStream, default_device, one_pass, to_device
from flambe.learn.tally import Tally, is_lower_better, metric_label, tally, tally_batches

Batch = tuple[Tensor, ...]


class Trainer(Component):
    """Train a model step by step; one ``run()`` is one step.

    A step validates and then trains for ``iter_per_step`` iterations; after the last step the model is validated
    once more and gets the weights of its best validation back.

    Parameters
    ----------
    dataset: has the splits ``train`` and ``val``.
    train_sampler, val_sampler: make batches of them.
    model: called with all tensors of a batch, returns (prediction, target).
    loss_fn, metric_fn: called with (prediction, target); a torch loss or a ``flambe.metric.Metric``.
    optimizer: of the model's parameters.
    scheduler: learning-rate scheduler, stepped once for each validation that follows training;
        ``ReduceLROnPlateau`` with the validation loss.
    device: default ``cuda`` if there is one, else ``cpu``.
    max_steps: how many steps are made.
    epoch_per_step: length of a step in passes over the training data, when ``iter_per_step`` is not given.
    iter_per_step: length of a step in iterations, that is in updates of the weights.
    batches_per_iter: batches whose gradients are averaged for one update. More than one needs a sampler with
        ``drop_last``, so that every batch counts the same.
    lower_is_better: whether a smaller ``metric_fn`` is better. Losses and metrics that say so need not be told.
    max_grad_norm: longest gradient, as the 2-norm over all parameters.
    max_grad_abs_val: largest absolute value in a gradient.
    extra_validation_metrics: more metrics to log at each validation.
    iter_scheduler: learning-rate scheduler stepped after each iteration.
    extra_training_metrics: metrics of the training batches, on the predictions made while training.
    extra_training_metrics_log_interval: iterations between two logs of them; default: one log a step.
    log_interval: iterations between two logs of ``Training/…``; default: ten logs a step. The device is waited for
        only then.

    Logs ``Training/Loss`` (mean since the last log), ``Training/Gradient_Norm`` (before clipping) and
    ``Training/Parameter_Norm`` against the iterations made, and ``Validation/Loss``, ``Validation/<metric>`` and
    ``Best/<metric>`` against the steps made.

    A trainer whose state was saved between two calls of ``run()`` and loaded into a new one (with the random-number
    generators put back) goes on bit for bit as if nothing had happened.

    Subclasses may override ``_batch_to_device``, ``_compute_loss``, ``_compute_batch``, ``_train_step``,
    ``_eval_step`` and ``_aggregate_preds``.

    Raises
    ------
    ValueError: for lengths below one, ``batches_per_iter`` above one without ``drop_last``, and ``LBFGS``.
    """

    def __init__(
        self,
        dataset: Any,
        train_sampler: Any,
        val_sampler: Any,
        model: nn.Module,
        loss_fn: Any,
        metric_fn: Any,
        optimizer: Optimizer,
        scheduler: Any = None,
        device: str | None = None,
        max_steps: int = 10,
        epoch_per_step: float = 1.0,
        iter_per_step: int | None = None,
        batches_per_iter: int = 1,
        lower_is_better: bool = False,
        max_grad_norm: float | None = None,
        max_grad_abs_val: float | None = None,
        extra_validation_metrics: Sequence[Any] | None = None,
        iter_scheduler: Any = None,
        extra_training_metrics: Sequence[Any] | None = None,
        extra_training_metrics_log_interval: int | None = None,
        log_interval: int | None = None,
    ) -> None:
        super().__init__()
        for name, value in [
            ("iter_per_step", iter_per_step),
            ("batches_per_iter", batches_per_iter),
            ("extra_training_metrics_log_interval", extra_training_metrics_log_interval),
            ("log_interval", log_interval),
        ]:
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; expected 1 or more")
        if iter_per_step is None and epoch_per_step <= 0:
            raise ValueError(f"epoch_per_step is {epoch_per_step}; expected more than 0")
        if max_steps < 0:
            raise ValueError(f"max_steps is {max_steps}; expected 0 or more")
        if batches_per_iter > 1 and not getattr(train_sampler, "drop_last", False):
            raise ValueError(
                f"batches_per_iter is {batches_per_iter} and train_sampler keeps short last batches, so examples "
                "would count differently; set drop_last: true on train_sampler"
            )
        if isinstance(optimizer, LBFGS):
            raise ValueError("LBFGS evaluates the loss many times per iteration; use an optimizer that steps once")

        self.dataset = dataset
        self.train_sampler = train_sampler
        self.val_sampler = val_sampler
        self.model = model
        self.loss_fn = loss_fn
        self.metric_fn = metric_fn
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.iter_scheduler = iter_scheduler
        self.device = default_device(device)
        self.max_steps = max_steps
        self.epoch_per_step = epoch_per_step
        self.iter_per_step = iter_per_step
        self.batches_per_iter = batches_per_iter
        self.lower_is_better = lower_is_better or is_lower_better(metric_fn)
        self.max_grad_norm = max_grad_norm
        self.max_grad_abs_val = max_grad_abs_val
        self.extra_validation_metrics = list(extra_validation_metrics or ())
        self.extra_training_metrics = list(extra_training_metrics or ())
        self.extra_training_metrics_log_interval = extra_training_metrics_log_interval
        self.log_interval = log_interval

        # Parameters keep their identity when they move, so the optimizer made before holds the right ones.
        self.model.to(self.device)
        for function in (loss_fn, metric_fn, *self.extra_validation_metrics, *self.extra_training_metrics):
            if isinstance(function, nn.Module):
                function.to(self.device)

        self._step = 0
        self._finished = False
        self._best_metric: float | None = None
        self._best_model: dict[str, Any] | None = None
        self._batches = BatchStream(train_sampler)
        self._training_tallies: list[Tally] = []

    @classmethod
    def precompile(cls, **kwargs: Any) -> None:
        """Move a model that is built already to its device before the optimizer is made."""
        model = kwargs.get("model")
        if isinstance(model, nn.Module):
            model.to(default_device(kwargs.get("device")))

    # --- what subclasses may override ---

    def _batch_to_device(self, batch: Batch) -> Batch:
        """Return the batch on the trainer's device. Override it for batches that are no tuples of tensors."""
        return to_device(batch, self.device)

    def _compute_batch(self, batch: Batch, metrics: Sequence[Tally] = ()) -> Tensor:
        """Return the loss of a batch (on the device), after counting its predictions in ``metrics``."""
        pred, target = self.model(*batch)
        for metric in metrics:
            metric.add(pred.detach(), target)
        loss: Tensor = self.loss_fn(pred, target)
        return loss

    def _compute_loss(self, batch: Batch) -> Tensor:
        """Return the loss that is trained on, of a batch (on the device)."""
        return self._compute_batch(batch, self._training_tallies)

    def _predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (prediction, target) of a batch (not on the device yet), for validation."""
        pred, target = self.model(*self._batch_to_device(batch))
        return pred, target

    def _aggregate_preds(self, data_iterator: Iterable[Batch]) -> tuple[Tensor, Tensor]:
        """Return the predictions and targets of all batches, each joined along the first dimension.

        Validation streams and does not need this, unless a subclass overrides it.
        """
        pairs = [self._predict(batch) for batch in data_iterator]
        return torch.cat([pred for pred, _ in pairs]), torch.cat([target for _, target in pairs])

    def _train_step(self) -> None:
        """Train for ``iterations`` updates of the weights."""
        self.model.train()
        self._batches.open(self.dataset.train)
        iterations = self.iterations
        interval = self.log_interval or max(1, iterations // 10)
        metric_interval = self.extra_training_metrics_log_interval or iterations
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self._training_tallies = [tally(metric) for metric in self.extra_training_metrics]
        made = self._step * iterations
        losses: list[Tensor] = []
        for iteration in range(1, iterations + 1):
            self.optimizer.zero_grad()
            for _ in range(self.batches_per_iter):
                loss = self._compute_loss(self._batch_to_device(next(self._batches)))
                # Each batch has its share of the update.
                (loss / self.batches_per_iter if self.batches_per_iter > 1 else loss).backward()
                losses.append(loss.detach())
            is_logged = iteration % interval == 0 or iteration == iterations
            norm = None
            if self.max_grad_norm is not None:
                norm = nn.utils.clip_grad_norm_(parameters, self.max_grad_norm)
            elif is_logged:
                norm = _norm(parameter.grad for parameter in parameters if parameter.grad is not None)
            if self.max_grad_abs_val is not None:
                nn.utils.clip_grad_value_(parameters, self.max_grad_abs_val)
            self.optimizer.step()
            if self.iter_scheduler is not None:
                self.iter_scheduler.step()
            if is_logged and norm is not None:
                self._log_training(made + iteration, losses, norm, parameters)
                losses = []
            if self._training_tallies and (iteration % metric_interval == 0 or iteration == iterations):
                for metric, counted in zip(self.extra_training_metrics, self._training_tallies, strict=True):
                    flambe.log(f"Training/{metric_label(metric)}", counted.value(), made + iteration)
                self._training_tallies = [tally(metric) for metric in self.extra_training_metrics]

    def _eval_step(self) -> None:
        """Validate: log loss and metrics, keep the weights when they are the best so far, step the scheduler."""
        self.model.eval()
        metrics = [self.loss_fn, self.metric_fn, *self.extra_validation_metrics]
        batches = one_pass(self.val_sampler, self.dataset.val)
        with torch.inference_mode():
            if type(self)._aggregate_preds is Trainer._aggregate_preds:
                values = tally_batches(metrics, batches, self._predict)
            else:
                pred, target = self._aggregate_preds(batches)
                values = [float(metric(pred, target)) for metric in metrics]
        loss, value, *extra = values
        if self._is_best(value):
            self._best_metric = value
            # Cloned: on the CPU the state holds the living parameters.
            self._best_model = _copied(nn.Module.state_dict(self.model), device="cpu")
        if self.scheduler is not None and self._step > 0:
            # Not before the first update: the first learning rate would never be used.
            self.scheduler.step(*([loss] if isinstance(self.scheduler, ReduceLROnPlateau) else []))
        name = metric_label(self.metric_fn)
        flambe.log("Validation/Loss", loss, self._step)
        flambe.log(f"Validation/{name}", value, self._step)
        if self._best_metric is not None:
            flambe.log(f"Best/{name}", self._best_metric, self._step)
        for metric, one in zip(self.extra_validation_metrics, extra, strict=True):
            flambe.log(f"Validation/{metric_label(metric)}", one, self._step)

    # --- running ---

    @property
    def iterations(self) -> int:
        """Updates of the weights in one step."""
        if self.iter_per_step is not None:
            return self.iter_per_step
        batches = self.train_sampler.length(self.dataset.train)
        return max(1, math.ceil(self.epoch_per_step * batches / self.batches_per_iter))

    def run(self) -> bool:
        """Validate, then train until the next step.

        Returns True while there are steps left. The last call validates once more and restores the best weights.
        """
        if self._step < self.max_steps:
            self._finished = False
            self._eval_step()
            self._train_step()
            self._step += 1
        if self._step < self.max_steps:
            return True
        self.finish()
        return False

    def finish(self) -> None:
        """Validate once more and give the model its best weights. What ends a trainer early may call it; once is enough."""
        if self._finished:
            return
        self._eval_step()
        if self._best_model is not None:
            nn.Module.load_state_dict(self.model, self._best_model)
        # The model has them now, a second copy would double the checkpoint.
        self._best_model = None
        self._finished = True

    def metric(self) -> float | None:
        """Return the best validation metric so far, None before the first validation."""
        return self._best_metric

    @property
    def metric_name(self) -> str:
        """What ``metric()`` is."""
        return f"Best/{metric_label(self.metric_fn)}"

    # --- state ---

    def _state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> Any:
        """Add steps made, best metric and weights, optimizer, schedulers and the place in the data."""
        state_dict[prefix + "step"] = self._step
        state_dict[prefix + "finished"] = self._finished
        state_dict[prefix + "best_metric"] = self._best_metric
        state_dict[prefix + "best_model"] = self._best_model
        state_dict[prefix + "batches"] = self._batches.consumed
        state_dict[prefix + "optimizer"] = self.optimizer.state_dict()
        for name in ("scheduler", "iter_scheduler"):
            scheduler = getattr(self, name)
            state_dict[prefix + name] = None if scheduler is None else _plain(scheduler.state_dict())
        return state_dict

    def _load_state(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[Any],
        unexpected_keys: list[Any],
        error_msgs: list[Any],
    ) -> None:
        """Take back what ``_state`` added."""
        names = ["step", "finished", "best_metric", "best_model", "batches", "optimizer", "scheduler", "iter_scheduler"]
        missing = [prefix + name for name in names if prefix + name not in state_dict]
        if missing:
            missing_keys.extend(missing)
            return
        state = {name: state_dict[prefix + name] for name in names}
        self._step = state["step"]
        self._finished = state["finished"]
        self._best_metric = state["best_metric"]
        self._best_model = state["best_model"]
        self._batches = BatchStream(self.train_sampler, consumed=state["batches"])
        # Copied: the optimizer would take the tensors as they are and write into the memory of the saved file.
        self.optimizer.load_state_dict(_copied(state["optimizer"]))
        if self._step:
            # The scheduler is stepped first when training goes on, and would warn that no update was made yet.
            self.optimizer._opt_called = True  # type: ignore[attr-defined]
        for name in ("scheduler", "iter_scheduler"):
            scheduler = getattr(self, name)
            if (scheduler is None) != (state[name] is None):
                error_msgs.append(f"{prefix}{name}: it is there in one of the saved and the new trainer only")
            elif scheduler is not None:
                scheduler.load_state_dict(_like(state[name], scheduler.state_dict()))

    # --- helpers ---

    def _is_best(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if self._best_metric is None:
            return True
        return value < self._best_metric if self.lower_is_better else value > self._best_metric

    def _log_training(self, step: int, losses: list[Tensor], norm: Tensor, parameters: list[nn.Parameter]) -> None:
        with torch.no_grad():
            # One transfer for the three numbers.
            values = torch.stack([torch.stack(losses).mean(), norm.to(losses[0].dtype), _norm(parameters)]).tolist()
        for name, value in zip(("Loss", "Gradient_Norm", "Parameter_Norm"), values, strict=True):
            flambe.log(f"Training/{name}", value, step)


def _norm(tensors: Iterable[Tensor]) -> Tensor:
    """Return the 2-norm over all values of all tensors, as a tensor: nobody waits for the device."""
    parts = [
        torch.linalg.vector_norm(tensor.coalesce().values() if tensor.is_sparse else tensor.detach())
        for tensor in tensors
    ]
    return torch.linalg.vector_norm(torch.stack(parts)) if parts else torch.zeros(())


def _copied(value: Any, device: str | None = None) -> Any:
    """Return ``value`` with every tensor in it cloned, to ``device`` if given."""
    if isinstance(value, Tensor):
        return value.detach().to(device or value.device, copy=True)
    if isinstance(value, dict):
        return {key: _copied(item, device) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(item, device) for item in value)
    return copy.deepcopy(value)


def _plain(value: Any) -> Any:
    """Return a scheduler's state as plain data.

    ``MultiStepLR`` has a Counter in it, and what the builder notes on an object (how it was made) is an attribute of
    the scheduler and so part of its ``state_dict()``.
    """
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if not str(key).startswith("_flambe")}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _like(value: Any, model: Any) -> Any:
    """Return ``value`` with the subclasses of dict that ``model`` has at the same places."""
    if isinstance(value, dict) and isinstance(model, dict):
        items = {key: _like(item, model.get(key)) for key, item in value.items()}
        return items if type(model) is dict else type(model)(items)
    return value
