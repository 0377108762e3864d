"""``Processes``: those that train one model together, each on a share of every batch, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed

from flambe.errors import UsageError
from flambe.learn.optimizer_state import copied
from flambe.runner.seeding import seed_everything

HOW = "torchrun --nproc-per-node N -m flambe.learn.cli SPEC"


class Processes(NamedTuple):
    """This process among those that train together. rank: its number, from 0; world: how many there are."""

    rank: int = 0
    world: int = 1

    @classmethod
    def current(cls) -> Processes:
        """Return the processes of ``torch.distributed``; one alone where it was not started.

        Raises UsageError where torchrun started several and nothing brought them together.
        """
        if distributed.is_available() and distributed.is_initialized():
            return cls(distributed.get_rank(), distributed.get_world_size())
        if started() > 1:
            raise UsageError(
                f"{started()} processes were started (WORLD_SIZE), and each of them would train a model of its own",
                hint=f"Start them with {HOW}, or call torch.distributed.init_process_group() before the trainer is made.",
            )
        return cls()

    @property
    def several(self) -> bool:
        return self.world > 1

    def broadcast(self, value: Any) -> Any:
        """Return what the first process gave."""
        if not self.several:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any] | None:
        """Return to the first process what each gave, tensors on the CPU; None to the others."""
        if not self.several:
            return [value]
        everyone: list[Any] | None = None if self.rank else [None] * self.world
        distributed.gather_object(copied(value, "cpu"), everyone, dst=0)
        return everyone

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes."""
        if self.several:
            distributed.all_reduce(values)
            values /= self.world
        return values

    def seed_apart(self) -> None:
        """Give every process but the first random numbers of its own, which follow from the first one's.

        Dropout must not take out the same units in all of them. The first one's generators are part of a checkpoint, so that
        after a stop the others get the same numbers again.
        """
        if not self.several:
            return
        seed = self.broadcast(drawn_so_far())
        if self.rank:
            seed_everything((seed + self.rank) % 2**63)


ALONE = Processes()


def started() -> int:
    """Return how many processes torchrun started; 1 without it."""
    text = os.environ.get("WORLD_SIZE", "1")
    if not text.isdecimal() or text == "0":
        raise UsageError(f"WORLD_SIZE is {text!r}", expected="a number of processes, as torchrun sets it")
    return int(text)


def join() -> Processes:
    """Bring the processes that torchrun started together.

    Raises UsageError when the environment is not torchrun's, or has more processes than GPUs.
    """
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UsageError(f"WORLD_SIZE is {started()} and {', '.join(missing)} is not set", hint=f"Start it with {HOW}.")
    device = os.environ.get("FLAMBE_DEVICE") or "cuda"
    if torch.cuda.is_available() and device.startswith("cuda"):
        here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
        if here > gpus and device == "cuda":
            raise UsageError(
                f"{here} processes on this machine have {gpus} GPUs",
                hint=f"Start {gpus} (--nproc-per-node), or pass --device cpu.",
            )
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % gpus)
        distributed.init_process_group("cpu:gloo,cuda:nccl")
    else:
        distributed.init_process_group("gloo")
    return Processes.current()


def drawn_so_far() -> int:
    """Return a number that is another one after every draw, on the CPU or on this process's GPU."""
    import hashlib

    digest = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        # Dropout on a GPU draws from its generator alone: without it the others would get the same numbers at every step.
        digest.update(torch.cuda.get_rng_state().numpy().tobytes())
    return int.from_bytes(digest.digest()[:7], "big")
