"""``Trainer``: validate, train for a while, again and again, and keep the best weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

import flambe
from flambe.build.stateful import Stateful
from flambe.learn.batches import BatchStream, default_device, one_pass, to_device
from flambe.learn.best import Best
from flambe.learn.contracts import Batches, Measure, Schedule, Score, Training, check_parts
from flambe.learn.first_batches import try_first_batches
from flambe.learn.nan_watch import NanWatch
from flambe.learn.network import Network
from flambe.learn.optimizer_state import copied, like, plain
from flambe.learn.pair import pair_of
from flambe.learn.precision import Precision, PrecisionName
from flambe.learn.processes import Processes
from flambe.learn.progress_bar import progress_bar
from flambe.learn.tally import Tally, is_lower_better, metric_label, tally
from flambe.learn.together import FINISH, STEP, told
from flambe.learn.updates import Updates
from flambe.learn.validation import validate
from flambe.metric.metric import number_of

Batch = tuple[Tensor, ...]


class Trainer(Stateful):
    """Train a model step by step; one ``run()`` is one step.

    A step validates and then trains for ``iter_per_step`` iterations; after the last step the model is validated
    once more and gets the weights of its best validation back. Before the first step a batch of each split is tried, which changes
    nothing: what does not fit is told at once.

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
    precision: ``float32``, ``bfloat16`` or ``float16``: what the model computes in. Weights stay float32; losses of ``float16``
        are scaled.
    compile_model: translate the model with ``torch.compile`` at its first call.
    patience: steps without a better validation after which training ends; default: never.
    prefetch: batches that a thread prepares ahead. Of use where making one takes as long as the model does.
    iter_per_checkpoint: return from ``run()``, after which a checkpoint is written, after so many iterations also in the middle
        of a step; default: only between steps.
    stop_on_nan: end the run with an error where a loss is NaN that is logged. Without it one line tells of the first.

    Logs ``Training/Loss`` (mean since the last log), ``Training/Gradient_Norm`` (before clipping) and
    ``Training/Parameter_Norm`` against the iterations made, and ``Validation/Loss``, ``Validation/<metric>`` and
    ``Best/<metric>`` against the steps made.

    A trainer whose state was saved between two iterations and loaded into a new one (with the random-number generators put
    back) goes on bit for bit as if nothing had happened.

    In several processes (``torchrun``) each one takes its share of every batch, and gradients are averaged: but for rounding
    and dropout they compute what one process would. The loss is taken for a mean over the examples of a batch. Each validates
    its share of the batches; the metrics are those of one process to the last bit.

    Subclasses may override ``_batch_to_device``, ``_compute_loss``, ``_compute_batch``, ``_train_step``,
    ``_eval_step`` and ``_aggregate_preds``; the first three call the model by ``self.network``.

    Raises
    ------
    ValueError: for lengths below one, ``batches_per_iter`` above one without ``drop_last``, ``LBFGS``, and a sampler that
        cannot do what ``prefetch`` or several processes need.
    RunFailed: a loss is NaN, with ``stop_on_nan``.
    UsageError: several processes were started and not brought together.
    ArgumentError: in the first ``run``, for a split without examples, an optimizer without the model's parameters, a schedule of
        another optimizer, and for what fails with the first batch: a sampler, the model, the loss or a metric.
    """

    def __init__(
        self,
        dataset: Training,
        train_sampler: Batches,
        val_sampler: Batches,
        model: nn.Module,
        loss_fn: Score,
        metric_fn: Measure,
        optimizer: Optimizer,
        scheduler: Schedule | None = None,
        device: str | None = None,
        max_steps: int = 10,
        epoch_per_step: float = 1.0,
        iter_per_step: int | None = None,
        batches_per_iter: int = 1,
        lower_is_better: bool = False,
        max_grad_norm: float | None = None,
        max_grad_abs_val: float | None = None,
        extra_validation_metrics: Sequence[Measure] | None = None,
        iter_scheduler: Schedule | None = None,
        extra_training_metrics: Sequence[Measure] | None = None,
        extra_training_metrics_log_interval: int | None = None,
        log_interval: int | None = None,
        precision: PrecisionName = "float32",
        compile_model: bool = False,
        patience: int | None = None,
        prefetch: int = 0,
        iter_per_checkpoint: int | None = None,
        stop_on_nan: bool = False,
    ) -> None:
        super().__init__()
        check_parts(
            samplers={"train_sampler": train_sampler, "val_sampler": val_sampler},
            functions={"loss_fn": loss_fn, "metric_fn": metric_fn},
        )
        for name, value in [
            ("iter_per_step", iter_per_step), ("batches_per_iter", batches_per_iter), ("log_interval", log_interval),
            ("extra_training_metrics_log_interval", extra_training_metrics_log_interval), ("patience", patience),
            ("iter_per_checkpoint", iter_per_checkpoint),
        ]:  # fmt: skip
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; expected 1 or more")
        if iter_per_step is None and epoch_per_step <= 0:
            raise ValueError(f"epoch_per_step is {epoch_per_step}; expected more than 0")
        for name, value in [("max_steps", max_steps), ("prefetch", prefetch)]:
            if value < 0:
                raise ValueError(f"{name} is {value}; expected 0 or more")
        if batches_per_iter > 1 and not getattr(train_sampler, "drop_last", False):
            raise ValueError(
                f"batches_per_iter is {batches_per_iter} and train_sampler keeps short last batches, so examples "
                "would count differently; set drop_last: true on train_sampler"
            )
        if isinstance(optimizer, LBFGS):
            raise ValueError("LBFGS evaluates the loss many times per iteration; use an optimizer that steps once")

        self.dataset = dataset
        self.train_sampler: Any = train_sampler
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
        self.precision = Precision(precision, self.device).name
        self.compile_model = compile_model
        self.patience = patience
        self.prefetch = prefetch
        self.iter_per_checkpoint = iter_per_checkpoint
        self.stop_on_nan = stop_on_nan

        # Parameters keep their identity when they move, so the optimizer made before holds the right ones.
        self.model.to(self.device)
        for function in (loss_fn, metric_fn, *self.extra_validation_metrics, *self.extra_training_metrics):
            if isinstance(function, nn.Module):
                function.to(self.device)

        self._processes = Processes.current()
        self._precision = Precision(precision, self.device)
        self._network = Network(self.model, compile_model, self._processes)
        self._updates = Updates(self.model, optimizer, self._network, self._precision, self._processes)
        self._step = 0
        self._iteration = 0
        self._validated = False
        self._paused = False
        self._finished = False
        self._best = Best(self.lower_is_better)
        self._nan_watch = NanWatch(stop_on_nan)
        self._batches = self._stream(train_sampler)
        self._training_tallies = [tally(metric) for metric in self.extra_training_metrics]

    @classmethod
    def precompile(cls, **kwargs: Any) -> None:
        """Move a model that is built already to its device before the optimizer is made."""
        model = kwargs.get("model")
        if isinstance(model, nn.Module):
            model.to(default_device(kwargs.get("device")))

    # --- what subclasses may override ---

    @property
    def network(self) -> Callable[..., Any]:
        """The model as it is to be called: compiled if that was asked for, averaging gradients over several processes."""
        return self._network.call if self.model.training else self._network.evaluate

    def _batch_to_device(self, batch: Batch) -> Batch:
        """Return the batch on the trainer's device. Override it for batches that are no tuples of tensors."""
        return to_device(batch, self.device)

    def _compute_batch(self, batch: Batch, metrics: Sequence[Tally] = ()) -> Tensor:
        """Return the loss of a batch (on the device), after counting its predictions in ``metrics``."""
        pred, target = pair_of(self.network(*batch), self.model)
        for metric in metrics:
            metric.add(pred.detach(), target)
        loss: Tensor = self.loss_fn(pred, target)
        return loss

    def _compute_loss(self, batch: Batch) -> Tensor:
        """Return the loss that is trained on, of a batch (on the device)."""
        return self._compute_batch(batch, self._training_tallies)

    def _predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (prediction, target) of a batch (not on the device yet), for validation."""
        return pair_of(self.network(*self._batch_to_device(batch)), self.model)

    def _aggregate_preds(self, data_iterator: Iterable[Batch]) -> tuple[Tensor, Tensor]:
        """Return the predictions and targets of all batches, each joined along the first dimension.

        Validation streams and does not need this, unless a subclass overrides it.
        """
        pairs = [self._predict_in_full(batch) for batch in data_iterator]
        return torch.cat([pred for pred, _ in pairs]), torch.cat([target for _, target in pairs])

    def _train_step(self) -> None:
        """Train for ``iterations`` updates of the weights, less those that a stopped step has made already."""
        self.model.train()
        self._batches.open(self.dataset.train)
        self._processes.seed_apart()
        iterations = self.iterations
        interval = self.log_interval or max(1, iterations // 10)
        metric_interval = self.extra_training_metrics_log_interval or iterations
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        made = self._step * iterations
        end = min(iterations, self._iteration + (self.iter_per_checkpoint or iterations))
        with progress_bar(f"step {self._step + 1} of {self.max_steps}", iterations, self._iteration) as advance:
            for iteration in range(self._iteration + 1, end + 1):
                is_logged = iteration % interval == 0 or iteration == iterations
                norm = self._update(parameters, is_logged)
                self._iteration = iteration
                if is_logged and norm is not None:
                    values = self._updates.tell(norm, parameters)
                    for name, value in values.items():
                        flambe.log(f"Training/{name}", value, made + iteration)
                    self._nan_watch.see("Training/Loss", values["Loss"], f"iteration {made + iteration}")
                if self._training_tallies and (iteration % metric_interval == 0 or iteration == iterations):
                    for metric, counted in zip(self.extra_training_metrics, self._training_tallies, strict=True):
                        flambe.log(f"Training/{metric_label(metric)}", counted.value(), made + iteration)
                    self._training_tallies = [tally(metric) for metric in self.extra_training_metrics]
                if advance is not None:
                    advance()
        self._paused = end < iterations

    def _update(self, parameters: list[nn.Parameter], is_logged: bool) -> Tensor | None:
        """Make one iteration. Returns the norm of the gradients before clipping, where it is asked for or needed."""
        norm = self._updates.make(
            self._batches, self._loss_of, parameters, count=self.batches_per_iter, max_norm=self.max_grad_norm,
            max_value=self.max_grad_abs_val, measure=is_logged,
        )  # fmt: skip
        if self.iter_scheduler is not None:
            self.iter_scheduler.step()
        return norm

    def _loss_of(self, batch: Batch) -> Tensor:
        return self._compute_loss(self._batch_to_device(batch))

    def _eval_step(self) -> None:
        """Validate: log loss and metrics, keep the weights when they are the best so far, step the scheduler."""
        self.model.eval()
        self._updates.settle()
        metrics: list[Any] = [self.loss_fn, self.metric_fn, *self.extra_validation_metrics]
        with torch.inference_mode():
            if type(self)._aggregate_preds is Trainer._aggregate_preds:
                values = validate(metrics, self.val_sampler, self.dataset.val, self._predict_in_full, self._processes)
            else:
                pred, target = self._aggregate_preds(one_pass(self.val_sampler, self.dataset.val))
                # GPUs may differ in the last bit, and all processes have to decide alike.
                values = self._processes.broadcast([number_of(metric, metric(pred, target)) for metric in metrics])
        loss, value, *extra = values
        self._best.offer(value, self._step, self.model)
        if self.scheduler is not None and self._step > 0:
            # Not before the first update: the first learning rate would never be used.
            self.scheduler.step(*([loss] if isinstance(self.scheduler, ReduceLROnPlateau) else []))
        name = metric_label(self.metric_fn)
        flambe.log("Validation/Loss", loss, self._step)
        flambe.log(f"Validation/{name}", value, self._step)
        if self._best.metric is not None:
            flambe.log(f"Best/{name}", self._best.metric, self._step)
        for metric, one in zip(self.extra_validation_metrics, extra, strict=True):
            flambe.log(f"Validation/{metric_label(metric)}", one, self._step)
        self._nan_watch.see("Validation/Loss", loss, f"step {self._step}")

    # --- running ---

    @property
    def iterations(self) -> int:
        """Updates of the weights in one step."""
        if self.iter_per_step is not None:
            return self.iter_per_step
        batches = self.train_sampler.length(self.dataset.train)
        return max(1, math.ceil(self.epoch_per_step * batches / self.batches_per_iter))

    def run(self) -> bool:
        """Validate, then train until the next step (or until the next checkpoint in the middle of one).

        Returns True while there is more to do. The last call validates once more and restores the best weights.
        """
        with told(self, STEP):
            if self._step < self.max_steps and not self._run_step():
                return True
            self.finish()
        return False

    def _run_step(self) -> bool:
        """Make a step, or a part of one. Returns whether it was the last."""
        self._finished = False
        if not self._validated:
            if not self._step:
                try_first_batches(self)
            self._eval_step()
            self._validated = True
        if self.patience is not None and self._step - self._best.step >= self.patience:
            return True
        self._paused = False
        self._train_step()
        if self._paused:
            return False
        self._step, self._iteration, self._validated = self._step + 1, 0, False
        return self._step >= self.max_steps

    def finish(self) -> None:
        """Validate once more and give the model its best weights. What ends a trainer early may call it; once is enough."""
        if self._finished:
            return
        with told(self, FINISH):
            if not self._validated or self._iteration:
                self._eval_step()
            self._best.restore(self.model)
            self._finished = True
            self._network.release()

    def metric(self) -> float | None:
        """Return the best validation metric so far, None before the first validation."""
        return self._best.metric

    @property
    def metric_name(self) -> str:
        """What ``metric()`` is."""
        return f"Best/{metric_label(self.metric_fn)}"

    # --- state ---

    # States without these were saved between two steps.
    _came_later: ClassVar[Mapping[str, Any]] = {
        "iteration": 0, "validated": False, "best_step": 0, "losses": None, "training_metrics": (), "scaler": None,
    }  # fmt: skip

    def _kept(self) -> dict[str, Any]:
        schedulers = {"scheduler": self.scheduler, "iter_scheduler": self.iter_scheduler}
        return {
            "step": self._step,
            "iteration": self._iteration,
            "validated": self._validated,
            "finished": self._finished,
            **self._best.kept(),
            "batches": self._batches.consumed,
            "training_metrics": [counted.state() for counted in self._training_tallies],
            **self._updates.kept(),
            **{name: None if one is None else plain(one.state_dict()) for name, one in schedulers.items()},
        }

    def _take_back(self, kept: Mapping[str, Any]) -> Iterable[str]:
        faults = []
        self._step = kept["step"]
        self._iteration = kept["iteration"]
        self._validated = kept["validated"]
        self._finished = kept["finished"]
        self._best.take_back(kept)
        self._batches = self._stream(self.train_sampler, consumed=kept["batches"])
        self._updates.take_back(kept, self.device, begun=bool(self._step or self._iteration))
        self._training_tallies = [tally(metric) for metric in self.extra_training_metrics]
        for counted, saved in zip(self._training_tallies, kept["training_metrics"], strict=False):
            counted.load(copied(saved))
        for name in ("scheduler", "iter_scheduler"):
            scheduler = getattr(self, name)
            if (scheduler is None) != (kept[name] is None):
                faults.append(f"{name}: it is there in one of the saved and the new trainer only")
            elif scheduler is not None:
                scheduler.load_state_dict(like(kept[name], scheduler.state_dict()))
        return faults

    # --- parts of the above ---

    def _stream(self, sampler: Any, consumed: int = 0) -> BatchStream:
        return BatchStream(sampler, consumed, self.prefetch, self._processes)

    def _predict_in_full(self, batch: Batch) -> tuple[Tensor, Tensor]:
        with self._precision.computing():
            pred, target = self._predict(batch)
        return self._precision.full(pred), target
