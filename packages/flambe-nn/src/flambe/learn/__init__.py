"""Training and evaluation. The names load on first use: ``flambe-train --help`` imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

if TYPE_CHECKING:
    from flambe.learn.distillation import DistillationTrainer
    from flambe.learn.evaluator import Evaluator
    from flambe.learn.torch_codec import TorchCodec
    from flambe.learn.trainer import Trainer

__all__ = ["DistillationTrainer", "Evaluator", "TorchCodec", "Trainer"]

__getattr__ = lazily(
    __name__,
    {
        "DistillationTrainer": "distillation",
        "Evaluator": "evaluator",
        "TorchCodec": "torch_codec",
        "Trainer": "trainer",
    },
)
