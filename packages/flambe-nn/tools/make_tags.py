"""Write ``src/flambe/nn/tags.json``: the short names of this distribution's components and of torch's classes.

Run after adding a public component:  python packages/flambe-nn/tools/make_tags.py
``--check`` only says whether the file is current (exit code 1 when not).
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path

TARGET = Path(__file__).parent.parent / "src" / "flambe" / "nn" / "tags.json"
ROOMS = (
    "flambe.nn",
    "flambe.nn.distance",
    "flambe.learn",
    "flambe.dataset",
    "flambe.field",
    "flambe.tokenizer",
    "flambe.sampler",
    "flambe.metric",
    "flambe.optim",
    "flambe.model",
    "flambe.nlp.classification",
    "flambe.nlp.language_modeling",
    "flambe.nlp.fewshot",
    "flambe.nlp.transformers",
    "flambe.vision.classification",
)
# What cannot be built from a config, or is only a base of others.
NOT_TAGS = {"AverageableMetric", "BinaryMetric", "Dataset", "DistanceModule", "Field", "MeanModule", "Metric", "Module"}
NOT_TAGS |= {"Sampler", "Tokenizer", "Packed"}
# Torch's, under our name for code of version 0.4: their tag is !torch.LambdaLR.
NOT_TAGS |= {"LambdaLR", "LRScheduler"}
# A class of the floor, which brings its tag itself.
NOT_TAGS |= {"Script"}
# Classes that can be built and used but that no experiment of an upper torch has: containers need no tag of ours.
NOT_TORCH = {"Container", "Module", "Optimizer", "LRScheduler", "Parameter", "Buffer", "UninitializedParameter"}


def main(argv: list[str]) -> int:
    """Write the file, or check it."""
    text = json.dumps(tags(), indent=1, sort_keys=True) + "\n"
    if "--check" in argv:
        current = TARGET.read_text(encoding="utf-8") == text
        print(f"{TARGET.name} is {'current' if current else 'out of date: run this without --check'}", file=sys.stderr)
        return 0 if current else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


def tags() -> dict[str, str]:
    """Tag to target, ours and torch's."""
    return {**our_tags(), **torch_tags()}


def our_tags() -> dict[str, str]:
    """Every public class of our rooms that is a component, an optimizer or a learning-rate scheduler."""
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from flambe.build.component import Component

    found: dict[str, str] = {}
    for room in ROOMS:
        try:
            module = importlib.import_module(room)
        except ModuleNotFoundError as error:
            if error.name != room:
                raise
            continue
        for name in getattr(module, "__all__", ()):
            kind = getattr(module, name)
            if inspect.isclass(kind) and issubclass(kind, (Component, LRScheduler, Optimizer)) and name not in NOT_TAGS:
                found[name] = f"{room}:{name}"
    return found


def torch_tags() -> dict[str, str]:
    """``torch.X`` for every module, optimizer and scheduler of torch.

    Where a name stands in two places (``torch.nn`` and ``torch.optim`` do not collide today) the first room wins.
    """
    import torch

    found: dict[str, str] = {}
    for room, base in (
        ("torch.nn", torch.nn.Module),
        ("torch.optim", torch.optim.Optimizer),
        ("torch.optim.lr_scheduler", torch.optim.lr_scheduler.LRScheduler),
    ):
        module = importlib.import_module(room)
        for name in sorted(vars(module)):
            kind = getattr(module, name)
            if name.startswith("_") or name in NOT_TORCH or not inspect.isclass(kind) or not issubclass(kind, base):
                continue
            found.setdefault(f"torch.{name}", f"{room}:{name}")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
