"""Saved components are as fast as the disk: ``flambe.save`` and ``load`` beside ``torch.save`` and ``load`` of equal weights.

Usage: python benchmarks/saving.py [--millions 100] [--pairs N]

A model of so many million parameters in eight layers, in alternating order, on the disk of the temporary folder. Prints medians:
torch seconds / our seconds for saving and for loading, where torch's is a pickle of the whole module, as ``torch.save(model)``
writes it, and megabytes a second. Both read what the page cache holds. Loading ends with one pass over all weights, so that what
is only mapped is paid for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import flambe
from flambe.nn import MLPEncoder, Module


class Layers(Module):
    """Linear layers.

    Parameters
    ----------
    size: features of each. count: how many.
    """

    def __init__(self, size: int, count: int) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList([MLPEncoder(size, size) for _ in range(count)])


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and what came."""
    began = time.perf_counter()
    value = call()
    return time.perf_counter() - began, value


def total(model: torch.nn.Module) -> float:
    """Read every weight once."""
    return sum(parameter.detach().sum().item() for parameter in model.parameters())


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--millions", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    model = Layers(int((arguments.millions * 1e6 / 8) ** 0.5), 8)
    megabytes = sum(parameter.numel() for parameter in model.parameters()) * 4 / 1e6
    expected, equal = total(model), True
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(arguments.pairs):
            pickle, component = str(Path(folder, "model.pt")), str(Path(folder, f"component-{pair}"))
            ways: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
                "torch": (
                    lambda path=pickle: torch.save(model, path),
                    lambda path=pickle: torch.load(path, weights_only=False),
                ),
                "ours": (
                    lambda path=component: flambe.save(model, path),
                    lambda path=component: flambe.load(path),
                ),
            }
            for name in list(ways) if pair % 2 else list(ways)[::-1]:
                save, load = ways[name]
                seconds.setdefault(f"{name} save", []).append(timed(save)[0])
                took, loaded = timed(load)
                seconds.setdefault(f"{name} load", []).append(took)
                whole, value = timed(lambda loaded=loaded: total(loaded))
                seconds.setdefault(f"{name} load and read", []).append(took + whole)
                equal = equal and value == expected
                del loaded
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {
        what: round(medians[f"torch {what}"] / medians[f"ours {what}"], 2) for what in ("save", "load", "load and read")
    }
    print(json.dumps({"benchmark": "saving", "megabytes": round(megabytes), "ratios": ratios, "equal": equal,
                      "mb_per_s": {name: round(megabytes / value) for name, value in medians.items()}}))  # fmt: skip


if __name__ == "__main__":
    main()
