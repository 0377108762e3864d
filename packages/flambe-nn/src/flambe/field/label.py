"""``LabelField``: labels to ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from flambe.build.input_path import InputPath
from flambe.cli.console import say
from flambe.dataset.column import DenseColumn, RaggedColumn, offsets_of
from flambe.errors import did_you_mean
from flambe.field.field import Field
from flambe.field.words import read_words


class LabelField(Field):
    """Number labels.

    Labels are text. Numbers become text the same way everywhere: 1 and 1.0 are both ``"1"``; None and NaN are
    ``"nan"``. Numbers that are to be predicted as numbers (a regression) are for a ``NumberField``.

    Parameters
    ----------
    one_hot: give a 0/1 vector over all labels rather than ids.
    multilabel_sep: what separates several labels of one example.
    labels: the labels in the order of their ids, or a file with one a line; others are refused. Without it, ids
        follow first appearance.

    Attributes
    ----------
    vocab: label to id.
    """

    reads_text = True

    def __init__(
        self, one_hot: bool = False, multilabel_sep: str | None = None, labels: Sequence[str] | InputPath | None = None
    ) -> None:
        self.one_hot = one_hot
        self.multilabel_sep = multilabel_sep
        self.fixed = labels is not None
        if isinstance(labels, str):
            labels = read_words(labels, "labels")
        names = [label_text(label) for label in labels or ()]
        self.vocab: dict[str, int] = {name: place for place, name in enumerate(names)}
        if len(self.vocab) < len(names):
            raise ValueError(f"labels holds {len(names) - len(self.vocab)} of its labels twice")
        self._counts: list[int] = [0] * len(self.vocab)

    @property
    def vocab_size(self) -> int:
        """Number of labels."""
        return len(self.vocab)

    @property
    def vocab_list(self) -> list[str]:
        """Labels in the order of their ids."""
        return list(self.vocab)

    @property
    def label_count(self) -> Tensor:
        """How often each label was seen in ``setup``, ``[labels]``."""
        return torch.tensor(self._counts, dtype=torch.float)

    @property
    def label_freq(self) -> Tensor:
        """Share of each label, ``[labels]``."""
        return self.label_count / self.label_count.sum()

    @property
    def label_inv_freq(self) -> Tensor:
        """One over the share of each label, ``[labels]``: weights for a loss. 0 for a label never seen."""
        return torch.where(self.label_count > 0, 1.0 / self.label_freq, torch.zeros(()))

    def setup(self, *data: npt.NDArray[Any]) -> None:
        """Number and count every label of ``data``.

        Raises
        ------
        ValueError: a label that is not among ``labels``.
        """
        for array in data:
            # A text that comes again has the labels that it had: they are looked for once.
            for text, times in Counter(_texts(array)).items():
                for label in self._split(text):
                    place = self.vocab.get(label)
                    if place is None:
                        if self.fixed:
                            raise ValueError(self._unknown(label))
                        place = self.vocab[label] = len(self.vocab)
                        self._counts.append(0)
                    self._counts[place] += times
        if not self.fixed and _are_measures(self.vocab):
            some = ", ".join(list(self.vocab)[:3])
            say(f"warning: LabelField makes classes of numbers ({some}, …); a regression reads them with !NumberField")

    def process(self, example: Any) -> Tensor:
        """Label to id, 0-d int64; with multilabel_sep to ``[labels of the example]``; with one_hot to ``[labels]``.

        Raises
        ------
        ValueError: a label never seen.
        """
        ids = self._ids(label_text(example))
        if self.one_hot:
            vector = torch.zeros(len(self.vocab), dtype=torch.long)
            vector[ids] = 1
            return vector
        tensor = torch.tensor(ids, dtype=torch.long)
        return tensor.squeeze(0) if self.multilabel_sep is None else tensor

    def pack(self, data: npt.NDArray[Any]) -> tuple[DenseColumn | RaggedColumn, ...] | None:
        """All labels ``[N]`` at once."""
        if data.ndim != 1:
            return None
        texts = _texts(data)
        known = {text: self._ids(text) for text in dict.fromkeys(texts)}
        rows = [known[text] for text in texts]
        if self.one_hot:
            vectors = np.zeros((len(rows), len(self.vocab)), dtype=np.int8)
            lengths = [len(row) for row in rows]
            vectors[np.repeat(np.arange(len(rows)), lengths), [place for row in rows for place in row]] = 1
            return (DenseColumn(vectors, "int64"),)
        if self.multilabel_sep is None:
            return (DenseColumn(np.array([row[0] for row in rows], dtype=np.int32), "int64"),)
        flat = np.array([place for row in rows for place in row], dtype=np.int32)
        return (RaggedColumn(flat, offsets_of([len(row) for row in rows]), "int64"),)

    def _split(self, text: str) -> list[str]:
        return [text] if self.multilabel_sep is None else text.split(self.multilabel_sep)

    def _ids(self, text: str) -> list[int]:
        try:
            return [self.vocab[label] for label in self._split(text)]
        except KeyError as missing:
            raise ValueError(self._unknown(missing.args[0])) from None

    def _unknown(self, label: str) -> str:
        known = ", ".join(list(self.vocab)[:10]) + (", …" if len(self.vocab) > 10 else "")
        hint = did_you_mean(label, self.vocab)
        return f"label {label!r} is not known; expected one of: {known}" + (f". {hint}" if hint else "")

    def _state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> Any:
        """Labels and their counts."""
        state_dict[prefix + "labels"] = list(self.vocab)
        state_dict[prefix + "label_counts"] = list(self._counts)
        return state_dict

    def _load_state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], strict: bool,
                    missing_keys: list[Any], unexpected_keys: list[Any], error_msgs: list[Any]) -> None:  # fmt: skip
        """Take labels and counts."""
        if prefix + "labels" not in state_dict:
            missing_keys.append(prefix + "labels")
            return
        self.vocab = {label: place for place, label in enumerate(state_dict[prefix + "labels"])}
        self._counts = list(state_dict[prefix + "label_counts"])


def _are_measures(labels: Iterable[str]) -> bool:
    """Whether labels look like measurements: numbers, most of them with a fraction."""
    fractions = total = 0
    for label in labels:
        try:
            fractions += not float(label).is_integer()
        except (ValueError, OverflowError):
            return False
        total += 1
    return total > 2 and 2 * fractions > total


def _texts(values: Iterable[Any]) -> list[str]:
    items = values.ravel().tolist() if isinstance(values, np.ndarray) else values
    return [value if type(value) is str else label_text(value) for value in items]


def label_text(value: Any) -> str:
    """Text of a label, the same for all number types that can hold it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "nan"
    if isinstance(value, (float, np.floating)):
        return str(int(value)) if float(value).is_integer() else str(float(value))
    return str(value)
