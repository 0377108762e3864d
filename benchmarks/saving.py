"""Saved components are as fast as the disk: beside ``torch.save``, safetensors and a plain file of the same bytes.

Usage: python benchmarks/saving.py [--millions 100] [--pairs N] [--folder DIR]

A model of so many million parameters in eight layers, in turning order, on the disk of DIR (default: the temporary folder).
``torch`` is a pickle of the whole module, as ``torch.save(model)`` writes it; ``safetensors`` is ``save_model`` and ``load_model``
into a model that is built for it; ``disk`` writes and reads the bytes of all weights in pieces of 4 MiB, as dd would.

* ``save``: until everything is on the disk (``syncfs``; where there is none, ``fsync`` of every file).
* ``load``: what the page cache holds; ours and safetensors map it.
* ``load and read``: the same and one pass over all weights, so that what is only mapped is paid for.
* ``cold load and read``: that, with nothing in the page cache.

Prints medians of wall seconds and of processor seconds (user and system), as ratios: peer / ours, above 1 where ours is faster.
``share_of_disk`` is the wall time of ``disk`` over ours, pair by pair: of the model whose eight layers are components, which has a file for
each, and of one whose layers are plain modules, which has one file and so one SHA-256 that no second processor can help with.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

import flambe
from flambe.nn import MLPEncoder, Module

PIECE = 1 << 22


class Layers(Module):
    """Linear layers.

    Parameters
    ----------
    size: features of each. count: how many. plain: modules of torch, which are no parts of their own.
    """

    def __init__(self, size: int, count: int, plain: bool = False) -> None:
        super().__init__()
        kind = torch.nn.Linear if plain else MLPEncoder
        self.layers = torch.nn.ModuleList([kind(size, size) for _ in range(count)])


class Disk:
    """The bytes of a model as one file."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.size = sum(parameter.nbytes for parameter in model.parameters())
        self.pieces = [memoryview(parameter.detach().view(-1).numpy()).cast("B") for parameter in model.parameters()]

    def save(self, path: Path) -> None:
        with path.open("wb", buffering=0) as stream:
            for piece in self.pieces:
                for begin in range(0, piece.nbytes, PIECE):
                    stream.write(piece[begin : begin + PIECE])

    def load(self, path: Path) -> torch.Tensor:
        """Read all of it into memory that is there already."""
        whole = torch.empty(self.size, dtype=torch.uint8)
        view, at = memoryview(whole.numpy()), 0
        with path.open("rb", buffering=0) as stream:
            while count := stream.readinto(view[at : at + PIECE]):
                at += count
        return whole.view(torch.float32)


def files(path: Path) -> Iterator[Path]:
    """Every file of a saved one."""
    yield from (place for place in path.rglob("*") if place.is_file()) if path.is_dir() else [path]


def flush(path: Path) -> None:
    """Wait until everything is on the disk, as ``sync -f`` does: of many small files that is one wait and not one for each."""
    library = ctypes.CDLL(None, use_errno=True)
    for place in [path] if hasattr(library, "syncfs") else files(path):
        handle = os.open(place, os.O_RDONLY)
        if hasattr(library, "syncfs"):
            assert library.syncfs(handle) == 0, os.strerror(ctypes.get_errno())
        else:
            os.fsync(handle)
        os.close(handle)


def drop(path: Path) -> None:
    """Take everything out of the page cache."""
    for file in files(path):
        handle = os.open(file, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def total(value: Any) -> float:
    """Read every weight once."""
    if isinstance(value, torch.Tensor):
        return value.sum().item()
    return sum(parameter.detach().sum().item() for parameter in value.parameters())


class Clock:
    """Seconds by name, of the wall and of the processors."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = {}
        self.processor: dict[str, list[float]] = {}

    def measure(self, name: str, call: Callable[[], Any]) -> Any:
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.perf_counter()
        value = call()
        self.wall.setdefault(name, []).append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_SELF)
        used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        self.processor.setdefault(name, []).append(used)
        return value


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--millions", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    size = int((arguments.millions * 1e6 / 8) ** 0.5)
    model, whole = Layers(size, 8), Layers(size, 8, plain=True)
    disk, clock, equal = Disk(model), Clock(), True

    def load_safetensors(path: Path) -> torch.nn.Module:
        built = Layers(size, 8)
        safetensors.torch.load_model(built, path)
        return built

    ways: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
        "ours": (lambda path: flambe.save(model, path), flambe.load),
        "ours in one file": (lambda path: flambe.save(whole, path), flambe.load),
        "torch": (lambda path: torch.save(model, path), lambda path: torch.load(path, weights_only=False)),
        "safetensors": (lambda path: safetensors.torch.save_model(model, str(path)), load_safetensors),
        "disk": (disk.save, disk.load),
    }
    expected = {name: total(whole if name == "ours in one file" else model) for name in ways}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder, "saved")
        for pair in range(arguments.pairs + 1):
            names = list(ways)
            for name in names[pair % len(names) :] + names[: pair % len(names)]:
                save, load = ways[name]
                if not pair:  # the first round warms up
                    save(path)
                    load(path)
                else:
                    clock.measure(f"{name} save", lambda save=save: (save(path), flush(path)))
                    clock.measure(f"{name} load", lambda load=load: load(path))
                    value = clock.measure(f"{name} load and read", lambda load=load: total(load(path)))
                    drop(path)
                    cold = clock.measure(f"{name} cold load and read", lambda load=load: total(load(path)))
                    equal = equal and (name == "disk" or value == cold == expected[name])
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                os.sync()  # the next one begins with a disk at rest
    medians = {
        kind: {name: statistics.median(values) for name, values in getattr(clock, kind).items()}
        for kind in ("wall", "processor")
    }
    shares = {
        name: {
            what: round(
                statistics.median(
                    disk / ours
                    for disk, ours in zip(clock.wall[f"disk {what}"], clock.wall[f"{name} {what}"], strict=True)
                ),
                2,
            )
            for what in ("save", "cold load and read")
        }
        for name in ("ours", "ours in one file")
    }
    whats = ("save", "load", "load and read", "cold load and read")
    ratios = {
        kind: {
            what: {
                peer: round(seconds[f"{peer} {what}"] / max(seconds[f"ours {what}"], 1e-9), 2)
                for peer in ("torch", "safetensors", "disk")
            }
            for what in whats
        }
        for kind, seconds in medians.items()
    }
    print(
        json.dumps(
            {
                "benchmark": "saving",
                "megabytes": round(disk.size / 1e6),
                "equal": equal,
                "load": round(os.getloadavg()[0], 1),
                "share_of_disk": shares,
                "peer/ours": ratios,
                "mb_per_s": {name: round(disk.size / 1e6 / value) for name, value in medians["wall"].items()},
            }
        )
    )


if __name__ == "__main__":
    main()
