"""``TorchCodec``: how tensors, modules and the global state of PyTorch look to the floor.

Loading this module imports torch; ``flambe.spec.hooks.codecs()`` does that only in processes that build objects.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from flambe.errors import ConfigError, FlambeError
from flambe.learn import compiler
from flambe.learn.deferred_fills import PLAIN, DeferredFills, active, is_whole
from flambe.spec.hooks import Tensor

_NAMES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "U16": "uint16",
    "I32": "int32",
    "U32": "uint32",
    "I64": "int64",
    "U64": "uint64",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E8M0": "float8_e8m0fnu",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
}
compiler.leave_out()

# Older releases of torch lack some of these types.
_DTYPES: dict[str, torch.dtype] = {name: getattr(torch, text) for name, text in _NAMES.items() if hasattr(torch, text)}
_NAME_OF = {dtype: name for name, dtype in _DTYPES.items()}

# Smaller tensors are copied: to memory of their own, which is aligned better than a place in a file.
_LEAST_TAKEN_BYTES = 1 << 16


class TorchCodec:
    """The ``flambe.codec`` hook named ``torch``, version 1. See ``flambe.spec.hooks.Codec``."""

    version = 1

    def tensor_of(self, value: Any) -> Tensor | None:
        """Return the stored form of a tensor, or None for anything else.

        A contiguous tensor in CPU memory is not copied: the memoryview shows the living memory, so whoever keeps
        it over a training step has to copy it.

        Raises FlambeError for what safetensors cannot hold: sparse, quantized, meta and uninitialised tensors,
        and complex128.
        """
        if not isinstance(value, torch.Tensor):
            return None
        if isinstance(value, UninitializedBuffer | UninitializedParameter):
            raise FlambeError(
                "a parameter of a lazy module has no shape yet", hint="Run one batch through the module before saving."
            )
        name = _NAME_OF.get(value.dtype)
        if value.layout != torch.strided or value.is_quantized or name is None:
            raise FlambeError(
                f"a tensor of layout {value.layout} and type {value.dtype} cannot be stored",
                expected=f"a dense tensor of {', '.join(map(str, _NAME_OF))}",
                hint="Convert it in _state, and back in _load_state.",
            )
        if value.is_meta:
            raise FlambeError("a tensor on the meta device has no values to store")
        plain = value.detach().resolve_conj().resolve_neg().cpu().contiguous()
        # numpy knows neither bfloat16 nor the 8-bit floats, so every type goes as bytes.
        octets: Any = plain.view(-1).view(torch.uint8).numpy() if plain.numel() else b""
        copied = plain.data_ptr() != value.data_ptr()
        memory = (
            (str(value.device), value.data_ptr(), value.stride(), value.is_conj(), value.is_neg()) if copied else None
        )
        return Tensor(name, tuple(plain.shape), memoryview(octets), memory)

    def to_value(self, tensor: Tensor, like: str) -> torch.Tensor:
        """Return a CPU tensor.

        Memory that may be written (a bytearray, a copy-on-write mapping) is used as it is; of read-only or
        misaligned memory a copy is made, because torch has no read-only tensors and a write would crash.

        Raises FlambeError for a type this torch does not have, and when data and shape differ in size.
        """
        dtype = _DTYPES.get(tensor.dtype)
        if dtype is None:
            raise FlambeError(
                f"torch {torch.__version__} has no type {tensor.dtype}", expected=f"one of {', '.join(_DTYPES)}"
            )
        size = math.prod(tensor.shape) * dtype.itemsize
        if tensor.data.nbytes != size:
            raise FlambeError(
                f"{tensor.data.nbytes} bytes came for a {tensor.dtype} tensor of shape {list(tensor.shape)}",
                expected=f"{size} bytes",
            )
        if not size:
            return torch.empty(tensor.shape, dtype=dtype)
        data: Any = bytearray(tensor.data) if tensor.data.readonly else tensor.data
        flat = torch.frombuffer(data, dtype=torch.uint8)
        if flat.data_ptr() % dtype.itemsize:
            flat = flat.clone()
        # Not a view, which would keep the flat one: whether memory has one owner is asked when a module takes it.
        whole: Any = torch.empty(0, dtype=dtype)
        value: torch.Tensor = whole.set_(flat.untyped_storage(), 0, tensor.shape)
        return value

    def is_module(self, value: Any) -> bool:
        """Whether ``value`` is a ``torch.nn.Module``."""
        return isinstance(value, nn.Module)

    def children(self, module: nn.Module) -> Iterable[tuple[str, nn.Module]]:
        """Yield (attribute, child) of the direct children; a child that stands at two places comes twice."""
        for name, child in module._modules.items():
            if child is not None:
                yield name, child

    def own_state(self, module: nn.Module) -> dict[str, Any]:
        """Return parameters, persistent buffers and extra state of this module without its children's.

        The tensors are the living ones, detached.
        """
        state: dict[str, Any] = {}
        # The documented override point of modules with a format of their own, one level deep.
        module._save_to_state_dict(state, "", False)
        return state

    def load_own_state(self, module: nn.Module, state: dict[str, Any], *, take: bool = False) -> None:
        """Put ``state`` into this module, in place: parameters stay the objects that optimizers and ties hold.

        take: nobody else will write to the tensors of ``state``, so their memory may become the module's. It does where nothing
        but the parameter itself can see the old one; else values are copied, to the device where the module is.

        Raises ConfigError naming every key that is missing, unknown, or of another shape (with both shapes).
        """
        deferred = active()
        with nullcontext() if deferred is None else deferred.resting():
            own = self.own_state(module)
            faults = [
                f"{key}: saved with shape {list(value.shape)}, the module has {list(there.shape)}"
                for key, value in state.items()
                if isinstance(there := own.get(key), torch.Tensor)
                and isinstance(value, torch.Tensor)
                and there.shape != value.shape
            ]
            # These are views of the parameters, and would count as somebody who sees their memory.
            del own
            if not faults:
                rest = _taken_over(module, state, deferred, take)
                missing: list[str] = []
                unknown: list[str] = []
                # Hooks of a module may edit what they are given.
                module._load_from_state_dict(
                    dict(rest), "", {"version": module._version}, True, missing, unknown, faults
                )
                faults += [f"{key}: not in the saved state" for key in missing if key not in state]
                faults += [f"{key}: the module has no such state" for key in unknown]
        if faults:
            raise ConfigError(
                f"the saved state does not fit {type(module).__qualname__}: {'; '.join(faults)}",
                hint="Load it into a module built with the arguments it was saved with.",
            )

    def deferring(self) -> AbstractContextManager[Any]:
        """Enter it where modules are made that are given a state: random weights are drawn only if somebody reads them."""
        return DeferredFills()

    def seed(self, seed: int) -> None:
        """Seed the CPU generator and those of every GPU (64 bits are used; a GPU not in use yet is seeded when it is)."""
        number = seed % 2**64
        if hasattr(torch, "accelerator") and not torch.accelerator.is_available():
            # torch would import its compiler for it, and note a traceback for each kind of device that is not there.
            torch.default_generator.manual_seed(number)
        else:
            torch.manual_seed(number)

    def rng_state(self) -> dict[str, Any]:
        """Return the generators' states: ``cpu``, and ``cuda`` (one tensor a GPU) once CUDA is in use."""
        state: dict[str, Any] = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            state["cuda"] = list(torch.cuda.get_rng_state_all())
        return state

    def set_rng_state(self, state: dict[str, Any]) -> None:
        """Put the generators back. States of GPUs that this machine does not have are left out."""
        torch.set_rng_state(state["cpu"].clone())
        if torch.cuda.is_available():
            for index, one in enumerate(state.get("cuda", ())[: torch.cuda.device_count()]):
                torch.cuda.set_rng_state(one.clone(), index)

    def prepare(self, *, threads: int) -> None:
        """Bring process-wide settings to a known state, so that a reused process computes what a fresh one would.

        threads: intra-op threads; sums depend on it.
        """
        torch.set_num_threads(max(1, threads))
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
        torch.set_grad_enabled(True)
        torch.set_float32_matmul_precision("highest")
        if torch.are_deterministic_algorithms_enabled():  # switching it off imports the compiler, which takes a second
            torch.use_deterministic_algorithms(False)
        torch.autograd.set_detect_anomaly(False)
        # Timing trials would choose other kernels from run to run.
        torch.backends.cudnn.benchmark = False
        # cuBLAS sums in a fixed order with a workspace of its own; it is read when CUDA starts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def _taken_over(module: nn.Module, state: dict[str, Any], deferred: DeferredFills | None, take: bool) -> dict[str, Any]:
    """Make memory of ``state`` that of the module, as far as that is safe. Returns what is to be copied."""
    rest: dict[str, Any] = {}
    plain = _loads_plainly(module)
    for key, value in state.items():
        there: torch.Tensor | None = module._parameters.get(key)
        there = module._buffers.get(key) if there is None else there
        if there is None or type(there) not in PLAIN or not isinstance(value, torch.Tensor):
            rest[key] = value
            continue
        if deferred is not None:
            # What is about to be replaced need not be drawn; a module with ways of its own may look at it before.
            replaced = plain and is_whole(there) and not _is_same(there, value)
            deferred.forget(there) if replaced else deferred.settle_tensor(there)
        if not (take and plain and _may_take(there, value)):
            rest[key] = value
        elif not _is_same(there, value):
            there.data = value
    return rest


def _is_same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.device == other.device and one.data_ptr() == other.data_ptr()


def _loads_plainly(module: nn.Module) -> bool:
    """Whether a module takes its state as it is: no format of its own, and no hooks."""
    class_ = type(module)
    return (
        class_._load_from_state_dict is nn.Module._load_from_state_dict
        and class_._save_to_state_dict is nn.Module._save_to_state_dict
        and not module._load_state_dict_pre_hooks
        and not module._state_dict_hooks
        and not module._state_dict_pre_hooks
    )


def _may_take(there: torch.Tensor, value: torch.Tensor) -> bool:
    return (
        (there.dtype, there.device) == (value.dtype, value.device)
        and value.nbytes >= _LEAST_TAKEN_BYTES
        and is_whole(there)
        # The same one: a parameter that stands at two places.
        and (_is_same(there, value) or (_is_alone(there) and _is_alone(value)))
    )


# Not in PyTorch's documentation, and used by its own CUDA graphs; where it is missing, values are copied.
_count: Callable[[int], int] | None = getattr(torch._C, "_storage_Use_Count", None)


def _is_alone(tensor: torch.Tensor) -> bool:
    """Whether no other tensor, array or graph sees the memory of this one."""
    return _count is not None and _uses(tensor) == _uses(torch.empty(1))


def _uses(tensor: torch.Tensor) -> int:
    assert _count is not None
    return _count(tensor.untyped_storage()._cdata)
