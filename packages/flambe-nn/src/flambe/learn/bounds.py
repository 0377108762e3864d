"""``Bounds``: the ids and labels of a split against the embeddings and scores that a model has for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from flambe.build.made import arguments_of
from flambe.errors import ArgumentError

Argument = tuple[str | int, ...]

_SCORES = ("output_size", "out_features")


class Bounds:
    """Refuses an id that no embedding is for, a text longer than there are positions, and a label without a score: before they are
    used, as on a GPU a wrong one ends the whole process. What is asked for is the largest one of the whole split, where that is known.

    Parameters
    ----------
    split: what the examples are called; data: they themselves.
    parts: modules whose embeddings are looked at, by argument.
    model: path of the one that gives the scores.

    ``classes`` becomes the number of scores that a loss of classes was given.
    """

    def __init__(self, split: str, data: Any, parts: Mapping[Argument, nn.Module], model: Argument) -> None:
        self._split = split
        self._data = data
        self._parts = parts
        self._model = model
        self.batch: Sequence[Any] = ()
        self.classes: int | None = None

    def watch(self, loss: Any) -> list[RemovableHandle]:
        """Begin to look at what embeddings and a loss are given. ``batch`` is to be set to what the columns became."""
        lookups = [one for part in self._parts.values() for one in part.modules() if isinstance(one, nn.Embedding)]
        hooks = [one.register_forward_pre_hook(self._before_lookup) for one in lookups]
        placed = [one for part in self._parts.values() for one in part.modules() if hasattr(type(one), "positions")]
        hooks += [one.register_forward_pre_hook(self._before_positions) for one in placed]
        if isinstance(loss, nn.NLLLoss | nn.CrossEntropyLoss):
            hooks.append(loss.register_forward_pre_hook(self._before_loss))
        return hooks

    def _before_lookup(self, module: nn.Embedding, given: tuple[Any, ...]) -> None:
        largest = self._largest(given[0]) if given and isinstance(given[0], Tensor) else -1
        if largest >= module.num_embeddings:
            raise ArgumentError(
                f"there are {module.num_embeddings} embeddings, and {self._split} has the id {largest}",
                argument=self._rows_of(module),
                expected=f"num_embeddings of {largest + 1} or more",
                hint="Link it to the vocabulary: num_embeddings: !@ DATASET.FIELD.vocab_size.",
            )

    def _before_positions(self, module: Any, given: tuple[Any, ...]) -> None:
        positions = module.positions
        # In a class of the user's the word may mean anything.
        column = self._column_of(given[0]) if given and type(positions) is int else None
        lengths = column.lengths() if column is not None else None
        if lengths is not None and (longest := int(lengths.max(initial=0))) > positions:
            raise ArgumentError(
                f"{self._split} has a text of {longest} ids, and there are {positions} positions",
                argument=self._path_of(module),
                hint=f"Cut texts in the field: max_seq_len (max_len_truncate of a pretrained one) of {positions} or less.",
            )

    def _before_loss(self, loss: Any, given: tuple[Any, ...]) -> None:
        if len(given) != 2 or not all(isinstance(one, Tensor) for one in given):
            return
        pred, target = given
        if target.is_floating_point() or pred.dim() == 0:
            return
        self.classes = classes = pred.shape[1 if pred.dim() > 1 else 0]
        largest = self._largest(target, without=loss.ignore_index)
        if largest >= classes:
            raise ArgumentError(
                f"the model gives scores of {classes} classes, and {self._split} has the label {largest}",
                argument=self._scores_of(classes),
                expected=f"output_size of {largest + 1} or more",
                hint="Link it to the labels: output_size: !@ DATASET.FIELD.vocab_size.",
            )

    def _largest(self, values: Tensor, without: int | None = None) -> int:
        """Return the largest number in a tensor, and in the whole split where the tensor is a packed column of it; -1 of nothing."""
        whole = getattr(self._column_of(values), "values", None)
        if whole is not None:
            return int((whole if without is None else whole[whole != without]).max(initial=-1))
        counted = values if without is None else values[values != without]
        return int(counted.max()) if counted.numel() else -1

    def _column_of(self, values: Any) -> Any:
        """Return the packed column that a tensor of the batch comes from; None where it is not known."""
        packed = getattr(self._data, "packed", None)
        columns = packed() if callable(packed) else None
        if columns is None or len(columns) != len(self.batch):
            return None
        return next((column for column, one in zip(columns, self.batch, strict=True) if one is values), None)

    def _path_of(self, module: nn.Module) -> Argument:
        for path, part in self._parts.items():
            for name, one in part.named_modules():
                if one is module:
                    return (*path, *filter(None, name.split(".")))
        return ()

    def _rows_of(self, module: nn.Embedding) -> Argument:
        """Return the path of the argument that says how many embeddings there are: of the module, or of what it is a part of."""
        for path, part in self._parts.items():
            name = next((name for name, one in part.named_modules() if one is module), None)
            if name is None:
                continue
            inner = name.split(".") if name else []
            for size in range(len(inner), -1, -1):
                outer = part.get_submodule(".".join(inner[:size]))
                if (arguments_of(outer) or {}).get("num_embeddings") == module.num_embeddings:
                    return (*path, *inner[:size], "num_embeddings")
            return (*path, *inner)
        return ()

    def _scores_of(self, classes: int) -> Argument:
        """Return the path of the argument that says how many scores the model gives; that of the model where none does."""
        found: list[tuple[str, str]] = []
        for name, module in self._parts[self._model].named_modules():
            # What an object makes inside of itself, and hands its own arguments to, has no place in the config.
            if not any(name.startswith(f"{outer}.") for outer, _ in found):
                given = arguments_of(module) or {}
                found += [(name, one) for one in _SCORES if given.get(one) == classes]
        if not found:
            return self._model
        name, argument = found[-1]
        return (*self._model, *filter(None, name.split(".")), argument)


__all__ = ["Argument", "Bounds"]
