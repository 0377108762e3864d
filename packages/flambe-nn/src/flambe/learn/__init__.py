"""Training and evaluation. The names load on first use: ``flambe-train --help`` imports no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flambe.learn.evaluator import Evaluator
    from flambe.learn.torch_codec import TorchCodec
    from flambe.learn.trainer import Trainer

_FILES = {"Evaluator": "evaluator", "TorchCodec": "torch_codec", "Trainer": "trainer"}

__all__ = ["Evaluator", "TorchCodec", "Trainer"]


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'flambe.learn' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"flambe.learn.{_FILES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
