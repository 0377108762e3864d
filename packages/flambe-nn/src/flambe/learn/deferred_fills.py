"""``DeferredFills``: weights that are drawn when somebody looks at them, because a saved state is about to replace them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# Below this drawing costs less than keeping books.
_LEAST_BYTES = 1 << 16

# In-place calls (of tensors and of torch.nn.init) that need no value of the tensor they fill …
_FILLS = frozenset(
    {"uniform_", "normal_", "kaiming_uniform_", "constant_", "fill_", "zero_", "exponential_", "log_normal_", "cauchy_"}
)
# … and those that may follow a fill, on the tensor or on a part of it: an embedding's row of padding, the bound of a normal.
_CHANGES = _FILLS | {"mul_", "add_", "sub_", "div_", "clamp_", "clamp_min_", "clamp_max_", "erfinv_", "neg_"}
# What tells of a tensor, or makes one like it, without its values.
_METADATA = frozenset(
    {
        "size", "stride", "dim", "ndimension", "numel", "nelement", "element_size", "storage_offset", "is_contiguous",
        "is_floating_point", "is_complex", "is_signed", "is_same_size", "__len__", "__hash__", "__set__", "requires_grad_",
        "register_hook", "register_post_accumulate_grad_hook", "new_empty", "new_zeros", "new_ones", "new_full", "new_tensor",
        "empty_like", "zeros_like", "ones_like", "full_like",
    }
)  # fmt: skip
# What may give the same memory again; if it gives other memory, values went into it.
_VIEWS = frozenset(
    {
        "__get__", "__getitem__", "detach", "view", "view_as", "reshape", "flatten", "t", "transpose", "permute", "squeeze",
        "unsqueeze", "narrow", "select", "split", "chunk", "unbind", "expand", "_make_subclass", "as_subclass", "to", "type",
        "float", "cpu", "contiguous", "requires_grad",
    }
)  # fmt: skip
PLAIN: frozenset[type] = frozenset({Tensor, nn.Parameter, getattr(nn, "Buffer", nn.Parameter)})


class DeferredFills(TorchFunctionMode):
    """Where it is entered, large tensors that are filled whole with random or equal numbers are left empty.

    A fill is made up for as soon as a call needs the values, and at the end for tensors that nobody took over with ``forget``, so
    that all code sees what it would see without: modules that read, copy or tie their weights while they are made, too. Only the
    order in which random numbers are drawn is another one. What reads memory past PyTorch (a scripted function, a
    kernel that takes pointers) sees what is there; constructors do not do that to random weights.
    """

    def __init__(self) -> None:
        super().__init__()
        # Address of the memory → the calls that fill it. They hold the memory, so no address is used twice.
        self._waiting: dict[int, list[Callable[[], Any]]] = {}
        self._resting = False
        self._outer: DeferredFills | None = None

    def __enter__(self) -> DeferredFills:
        self._outer, _active.mode = active(), self
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        _active.mode = self._outer
        self.settle()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._resting:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name in _CHANGES and self._defer(name, func, args, kwargs):
            return args[0] if args else kwargs["tensor"]
        if not self._waiting or name in _METADATA:
            return func(*args, **kwargs)
        used = self._used((args, kwargs))
        if used and name in _VIEWS:
            result = func(*args, **kwargs)
            if {_address(tensor) for tensor in _tensors(result)} <= used:
                return result
        for address in used:
            self.settle(address)
        return func(*args, **kwargs)

    def _defer(self, name: str, func: Any, args: Any, kwargs: Any) -> bool:
        """Keep a call for later. Returns False for one that has to be made now."""
        target, rest = (args[0], args[1:]) if args else (kwargs.get("tensor"), ())
        others = {key: value for key, value in kwargs.items() if key != "tensor"}
        if type(target) not in PLAIN or kwargs.get("generator") is not None or any(_tensors((rest, others))):
            return False
        address = _address(target)
        if name in _FILLS and is_whole(target) and target.nbytes >= _LEAST_BYTES:
            self._waiting[address] = []
        elif address not in self._waiting:
            return False
        # The memory is filled, whatever the tensor is made to show in the meantime.
        memory = target.detach()
        self._waiting[address].append(lambda: func(memory, *rest, **others))
        return True

    def _used(self, values: Any) -> set[int]:
        tensors = list(_tensors(values))
        if any(type(tensor) not in PLAIN for tensor in tensors):
            # Another kind of tensor may hold one of these, and reads it where no call is seen.
            return set(self._waiting)
        return {address for tensor in tensors if (address := _address(tensor)) in self._waiting}

    def settle(self, address: int | None = None) -> None:
        """Make up for the fills of the memory at ``address``; of all by default."""
        calls = [address] if address is not None else list(self._waiting)
        with torch.no_grad(), self.resting():
            for one in calls:
                for call in self._waiting.pop(one):
                    call()

    def settle_tensor(self, tensor: Tensor) -> None:
        """Make up for the fills of a tensor."""
        if (address := _address(tensor)) in self._waiting:
            self.settle(address)

    def forget(self, tensor: Tensor) -> None:
        """Leave out the fills of a tensor whose values are about to be replaced."""
        self._waiting.pop(_address(tensor), None)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Let calls pass as they are."""
        before, self._resting = self._resting, True
        try:
            yield
        finally:
            self._resting = before


class _Active(threading.local):
    mode: DeferredFills | None = None


_active = _Active()


def active() -> DeferredFills | None:
    """Return the innermost one that this thread has entered."""
    return _active.mode


def _address(tensor: Tensor) -> int:
    """Return where the memory of a tensor begins, 0 for none that can be deferred."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or type(tensor) not in PLAIN:
        return 0
    return tensor.untyped_storage().data_ptr()


def is_whole(tensor: Tensor) -> bool:
    """Whether a tensor is all of its memory, on the CPU."""
    return (
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.is_contiguous()
        and tensor.nbytes == tensor.untyped_storage().nbytes()
    )


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
