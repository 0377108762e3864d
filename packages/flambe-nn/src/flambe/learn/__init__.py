"""Training and evaluation. The names load on first use: ``flambe-train --help`` imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

if TYPE_CHECKING:
    from flambe.learn.distillation import DistillationTrainer
    from flambe.learn.evaluator import Evaluator
    from flambe.learn.torch_codec import TorchCodec
    from flambe.learn.trainer import Trainer
    from flambe.runnable.script import Script

__all__ = ["DistillationTrainer", "Evaluator", "Script", "TorchCodec", "Trainer"]

__getattr__ = lazily(
    __name__,
    {
        "DistillationTrainer": "distillation",
        "Evaluator": "evaluator",
        "Script": "flambe.runnable.script",  # version 0.4 had it here
        "TorchCodec": "torch_codec",
        "Trainer": "trainer",
    },
)
