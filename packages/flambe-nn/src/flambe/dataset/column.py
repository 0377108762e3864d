"""Columns of ready examples, packed so that a batch is index arithmetic and never a loop over examples.

Arrays may be memory-mapped and read-only; nothing here copies a whole one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Index = npt.NDArray[np.int64]


class Column(Protocol):
    """One output of the examples of one split."""

    def __len__(self) -> int:
        """Number of examples."""
        ...

    def example(self, index: int) -> Tensor:
        """One example as a tensor of its own."""
        ...

    def batch(self, indices: Index, pad: float) -> Tensor:
        """Examples at ``indices`` as one tensor, batch first, padded with ``pad``."""
        ...

    def lengths(self) -> Index | None:
        """Length of each example, or None when all have the same shape."""
        ...


class DenseColumn:
    """Examples of one shape.

    Parameters
    ----------
    values: ``[N, ...]``.
    dtype: of the tensors given out; the array itself may be smaller.
    """

    def __init__(self, values: npt.NDArray[Any], dtype: str | None = None) -> None:
        self.values = values
        self.dtype = np.dtype(dtype or values.dtype)

    def __len__(self) -> int:
        return len(self.values)

    def example(self, index: int) -> Tensor:
        """One example ``[...]``."""
        return torch.from_numpy(np.array(self.values[index], dtype=self.dtype))

    def batch(self, indices: Index, pad: float) -> Tensor:
        """Examples ``[B, ...]``; nothing to pad."""
        return torch.from_numpy(self.values[indices].astype(self.dtype, copy=False))

    def lengths(self) -> Index | None:
        """None: all have one shape."""
        return None

    def state(self) -> dict[str, Any]:
        """Array and dtype."""
        return {"kind": "dense", "dtype": self.dtype.name, "values": self.values}


class RaggedColumn:
    """Sequences of different lengths, one after the other.

    Parameters
    ----------
    values: all sequences joined, ``[sum of lengths]``.
    offsets: ``[N + 1]``; example i is ``values[offsets[i]:offsets[i + 1]]``.
    dtype: of the tensors given out.
    """

    def __init__(self, values: npt.NDArray[Any], offsets: npt.NDArray[np.int64], dtype: str | None = None) -> None:
        self.values = values
        self.offsets = offsets
        self.dtype = np.dtype(dtype or values.dtype)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def example(self, index: int) -> Tensor:
        """One sequence ``[S_i]``."""
        if index < 0:
            index += len(self)
        piece = self.values[self.offsets[index] : self.offsets[index + 1]]
        return torch.from_numpy(np.array(piece, dtype=self.dtype))

    def batch(self, indices: Index, pad: float) -> Tensor:
        """Sequences ``[B, S]``, S the longest of them, padded on the right."""
        starts = self.offsets[indices]
        lengths = self.offsets[indices + 1] - starts
        longest = int(lengths.max(initial=0))
        real = np.arange(longest) < lengths[:, None]  # [B, S]
        out = np.full(real.shape, pad, dtype=self.dtype)
        # Where each real position comes from: its place in the batch, moved to where its sequence lies.
        before = np.cumsum(lengths) - lengths
        source = np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
        out[real] = self.values[source]
        return torch.from_numpy(out)

    def lengths(self) -> Index:
        """``[N]``."""
        return np.diff(self.offsets)

    def state(self) -> dict[str, Any]:
        """Arrays and dtype."""
        return {"kind": "ragged", "dtype": self.dtype.name, "values": self.values, "offsets": self.offsets}


class ListColumn:
    """Examples that no array holds (nested, or of many shapes): a list of what the field gave."""

    def __init__(self, examples: Sequence[Any]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def example(self, index: int) -> Any:
        """What the field gave."""
        return self.examples[index]

    def batch(self, indices: Index, pad: float) -> Tensor:
        """Examples padded along every level."""
        return pad_nested([self.examples[int(i)] for i in indices], pad)

    def lengths(self) -> Index | None:
        """First dimension of each tensor or list."""
        try:
            return np.fromiter((len(example) for example in self.examples), dtype=np.int64, count=len(self.examples))
        except TypeError:
            return None


def pack(examples: Sequence[Any]) -> DenseColumn | RaggedColumn | ListColumn:
    """Pack examples as tightly as their shapes allow."""
    tensors = [_as_tensor(example) for example in examples]
    if not all(isinstance(tensor, Tensor) for tensor in tensors) or not tensors:
        return ListColumn(tensors)
    first = tensors[0]
    if any(tensor.dtype != first.dtype or tensor.dim() != first.dim() for tensor in tensors):
        return ListColumn(tensors)
    if first.dtype == torch.bfloat16 or first.is_sparse:  # numpy has neither
        return ListColumn(tensors)
    if all(tensor.shape == first.shape for tensor in tensors):
        return DenseColumn(torch.stack([tensor.detach().cpu() for tensor in tensors]).numpy())
    if first.dim() == 1:
        return RaggedColumn(
            torch.cat([tensor.detach().cpu() for tensor in tensors]).numpy(),
            offsets_of([len(tensor) for tensor in tensors]),
        )
    return ListColumn(tensors)


def offsets_of(lengths: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Lengths ``[N]`` to offsets ``[N + 1]``."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def column_from_state(state: dict[str, Any]) -> DenseColumn | RaggedColumn:
    """Make a column from what ``state()`` gave, on the same arrays."""
    if state["kind"] == "ragged":
        return RaggedColumn(state["values"], state["offsets"], state["dtype"])
    return DenseColumn(state["values"], state["dtype"])


def pad_nested(examples: Sequence[Any], pad: float) -> Tensor:
    """Join tensors, numbers, or lists of them (to any depth) into one tensor, padding every level.

    Raises
    ------
    TypeError: for text and other things that are no numbers.
    """
    tensors = [_dense(example, pad) for example in examples]
    dims = {tensor.dim() for tensor in tensors}
    if len(dims) > 1:
        raise ValueError(f"examples of one column have {sorted(dims)} dimensions and cannot be one batch")
    shapes = {tensor.shape for tensor in tensors}
    if len(shapes) == 1:
        return torch.stack(tensors)
    shape = [max(tensor.size(d) for tensor in tensors) for d in range(tensors[0].dim())]
    out = torch.full((len(tensors), *shape), pad, dtype=tensors[0].dtype)
    for row, tensor in zip(out, tensors, strict=True):
        row[tuple(slice(size) for size in tensor.shape)] = tensor
    return out


def _dense(example: Any, pad: float) -> Tensor:
    example = _as_tensor(example)
    if isinstance(example, Tensor):
        return example
    if isinstance(example, (list, tuple)):
        return pad_nested(example, pad) if example else torch.empty(0, dtype=torch.long)
    raise TypeError(
        f"an example holds {type(example).__name__} {str(example)[:40]!r}, which is no number: "
        "give the dataset a `transform` with a field for this column"
    )


def _as_tensor(example: Any) -> Any:
    if isinstance(example, Tensor):
        return example
    if isinstance(example, (bool, int, float)):
        return torch.tensor(example)
    if isinstance(example, (np.ndarray, np.generic)) and example.dtype.kind in "biuf":
        return torch.from_numpy(np.array(example))
    return example
