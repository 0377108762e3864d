"""``DistillationTrainer``: train a student to say what its teacher says. Shapes: B batch, C classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax
from torch.optim import Optimizer

from flambe.learn.batches import default_device
from flambe.learn.contracts import Batches, Measure, Schedule, Score, Training, TrainSplit
from flambe.learn.pair import pair_of
from flambe.learn.precision import PrecisionName
from flambe.learn.tally import Tally
from flambe.learn.trainer import Batch, Trainer


class DistillationTrainer(Trainer):
    """Train a student on the labels and on the predictions of a teacher (Hinton et al. 2015, https://arxiv.org/abs/1503.02531).

    The loss is ``(1 - alpha_kl) · loss_fn(log_softmax(student), target)
    + alpha_kl · T² · KL(softmax(teacher / T) ‖ softmax(student / T))``, where T is the temperature. Models give raw
    scores or log-probabilities, which have the same softmax. The teacher is never trained.

    Parameters
    ----------
    teacher_model: what is learnt from; it is frozen and in evaluation mode.
    student_model: what is trained, and what ``model`` is.
    teacher_columns, student_columns: numbers of the dataset's columns that each model is called with; default all. The
        student's include the target.
    alpha_kl: share of the teacher in the loss, 0 to 1.
    temperature: above 1 the teacher's smaller probabilities count more.
    unlabel_dataset: more data, without labels that anybody looks at; the KL part alone is trained on its ``train``.
    unlabel_sampler: makes batches of it; each iteration takes one.

    The others are those of ``Trainer``.

    Raises
    ------
    ValueError: ``alpha_kl`` is not between 0 and 1, ``temperature`` not above 0, or one of ``unlabel_dataset`` and
        ``unlabel_sampler`` is given without the other; and for what ``Trainer`` refuses.
    """

    def __init__(
        self,
        dataset: Training,
        train_sampler: Batches,
        val_sampler: Batches,
        teacher_model: nn.Module,
        student_model: nn.Module,
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
        teacher_columns: Sequence[int] | None = None,
        student_columns: Sequence[int] | None = None,
        alpha_kl: float = 0.5,
        temperature: float = 1,
        unlabel_dataset: TrainSplit | None = None,
        unlabel_sampler: Batches | None = None,
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
        if not 0 <= alpha_kl <= 1:
            raise ValueError(f"alpha_kl is {alpha_kl}; expected a share between 0 and 1")
        if temperature <= 0:
            raise ValueError(f"temperature is {temperature}; expected more than 0")
        if (unlabel_dataset is None) != (unlabel_sampler is None):
            raise ValueError("unlabel_dataset and unlabel_sampler are given together, or neither is")
        super().__init__(
            dataset, train_sampler, val_sampler, student_model, loss_fn, metric_fn, optimizer,
            scheduler=scheduler, device=device, max_steps=max_steps, epoch_per_step=epoch_per_step,
            iter_per_step=iter_per_step, batches_per_iter=batches_per_iter, lower_is_better=lower_is_better,
            max_grad_norm=max_grad_norm, max_grad_abs_val=max_grad_abs_val,
            extra_validation_metrics=extra_validation_metrics, iter_scheduler=iter_scheduler,
            extra_training_metrics=extra_training_metrics,
            extra_training_metrics_log_interval=extra_training_metrics_log_interval, log_interval=log_interval,
            precision=precision, compile_model=compile_model, patience=patience, prefetch=prefetch,
            iter_per_checkpoint=iter_per_checkpoint, stop_on_nan=stop_on_nan,
        )  # fmt: skip
        self.teacher_model = teacher_model
        self.teacher_columns = teacher_columns
        self.student_columns = student_columns
        self.alpha_kl = alpha_kl
        self.temperature = temperature
        self.unlabel_dataset: Any = unlabel_dataset
        self.unlabel_sampler = unlabel_sampler
        self._unlabelled = None if unlabel_sampler is None else self._stream(unlabel_sampler)
        self.teacher_model.to(self.device).requires_grad_(False).eval()

    @property
    def student_model(self) -> nn.Module:
        """The model that is trained."""
        return self.model

    @classmethod
    def precompile(cls, **kwargs: Any) -> None:
        """Move a student that is built already to its device before the optimizer is made."""
        model = kwargs.get("student_model")
        if isinstance(model, nn.Module):
            model.to(default_device(kwargs.get("device")))

    def _compute_batch(self, batch: Batch, metrics: Sequence[Tally] = ()) -> Tensor:
        """Return the loss of a batch (on the device), after counting the student's predictions in ``metrics``."""
        gave = self.network(*_chosen(batch, self.student_columns))
        scores, target = pair_of(gave, self.model, "student_model")  # [B, C]
        pred = log_softmax(scores, dim=-1)
        for metric in metrics:
            metric.add(pred.detach(), target)
        loss = scores.new_zeros(())
        if self.alpha_kl < 1:
            loss = loss + (1 - self.alpha_kl) * self.loss_fn(pred, target)
        if self.alpha_kl > 0:
            loss = loss + self.alpha_kl * self._divergence(batch, scores)
        return loss

    def _divergence(self, batch: Batch, scores: Tensor) -> Tensor:
        """Return T² times the mean divergence from the teacher, over a batch and, if there is, an unlabelled one."""
        taught = self._teach(batch)
        if self._unlabelled is not None:
            self._unlabelled.open(self.unlabel_dataset.train)
            more = self._batch_to_device(next(self._unlabelled))
            scores = torch.cat([scores, _scores(self.network(*_chosen(more, self.student_columns)))])
            taught = torch.cat([taught, self._teach(more)])
        divergence = kl_div(
            log_softmax(scores / self.temperature, dim=-1), log_softmax(taught / self.temperature, dim=-1),
            log_target=True, reduction="batchmean",
        )  # fmt: skip
        return divergence * self.temperature**2

    def _teach(self, batch: Batch) -> Tensor:
        """Return the teacher's scores ``[B, C]``."""
        with torch.no_grad():
            return _scores(self.teacher_model(*_chosen(batch, self.teacher_columns)))

    def _predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the student's log-probabilities and the target of a batch (not on the device yet)."""
        gave = self.network(*_chosen(self._batch_to_device(batch), self.student_columns))
        scores, target = pair_of(gave, self.model, "student_model")
        return log_softmax(scores, dim=-1), target

    def _kept(self) -> dict[str, Any]:
        return {**super()._kept(), "unlabelled_batches": 0 if self._unlabelled is None else self._unlabelled.consumed}

    def _take_back(self, kept: Mapping[str, Any]) -> Iterable[str]:
        faults = super()._take_back(kept)
        if self.unlabel_sampler is not None:
            self._unlabelled = self._stream(self.unlabel_sampler, kept["unlabelled_batches"])
        return faults


def _chosen(batch: Batch, columns: Sequence[int] | None) -> Batch:
    return batch if columns is None else tuple(batch[column] for column in columns)


def _scores(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return the scores of what a model gives: with a target, they are the first of two."""
    return output if isinstance(output, Tensor) else output[0]
