"""``PretrainedTransformerField``: text to the ids of a pretrained tokenizer. Shapes: S longest sequence."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from flambe.dataset.column import RaggedColumn, offsets_of
from flambe.field.field import Field, as_text
from flambe.nlp.transformers.package import files_of, pretrained, tokenizer_of


class PretrainedTransformerField(Field):
    """Cut text into the word pieces that a pretrained model was trained with.

    The vocabulary comes with the tokenizer: nothing is learnt from the data. A saved field has the tokenizer's files in its state:
    neither the folder nor the hub is asked when it is loaded. A subclass with a constructor of its own reads its alias again.

    Parameters
    ----------
    alias: name of a model of the Hugging Face hub, or a folder that ``save_pretrained()`` wrote.
    cache_dir: where downloads are kept; default that of transformers.
    max_len_truncate: longest sequence in ids, special tokens counted; None cuts nothing.
    add_special_tokens: put the model's own tokens around each text (``[CLS] … [SEP]``).
    kwargs: for the tokenizer.

    Raises
    ------
    ValueError: there is no such tokenizer.
    ConfigError: transformers is not installed.
    """

    reads_text = True
    family: ClassVar[str | None] = None

    def __init__(
        self,
        alias: str,
        cache_dir: str | None = None,
        max_len_truncate: int | None = None,
        add_special_tokens: bool = True,
        **kwargs: Any,
    ) -> None:
        tokenizer = pretrained("AutoTokenizer", alias, self.family, {"cache_dir": cache_dir, **kwargs})
        self._arrange(tokenizer, alias, cache_dir, max_len_truncate, add_special_tokens)

    def _arrange(
        self,
        tokenizer: Any,
        alias: str,
        cache_dir: str | None = None,
        max_len_truncate: int | None = None,
        add_special_tokens: bool = True,
        **kwargs: Any,
    ) -> None:
        self.alias = alias
        self.cache_dir = cache_dir
        self.max_len_truncate = max_len_truncate
        self.add_special_tokens = add_special_tokens
        self._tokenizer = tokenizer

    def _state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> Any:
        """Add the files of the tokenizer."""
        state_dict[prefix + "tokenizer"] = files_of(self._tokenizer)
        return state_dict

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], state: Mapping[str, Any]) -> Self:
        """Make a saved field of the tokenizer in its state. One that was saved without it reads its alias."""
        files = state.get("tokenizer")
        if files is None or cls.__init__ is not PretrainedTransformerField.__init__:
            return super().restore(arguments, state)
        made = cls.__new__(cls)
        made._arrange(tokenizer_of(files), *arguments.get("$args", ()), **_named(arguments))
        return made

    @property
    def padding_idx(self) -> int | None:
        """Id of padding; None for a model without one (GPT)."""
        return cast("int | None", self._tokenizer.pad_token_id)

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens counted."""
        return len(self._tokenizer)

    def process(self, example: Any) -> Tensor:
        """Text to ids, ``[S]`` int64."""
        return torch.tensor(self._ids([as_text(example)])[0], dtype=torch.long)

    def pack(self, data: npt.NDArray[Any]) -> tuple[RaggedColumn, ...] | None:
        """All texts ``[N]`` to ids at once."""
        if data.ndim != 1:
            return None
        rows = self._ids([as_text(text) for text in data])
        lengths = [len(row) for row in rows]
        values = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=sum(lengths))
        return (RaggedColumn(values, offsets_of(lengths), "int64"),)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        encoded = self._tokenizer(
            texts,
            add_special_tokens=self.add_special_tokens,
            truncation=self.max_len_truncate is not None,
            max_length=self.max_len_truncate,
            # It would warn of texts longer than the model takes, once for each process.
            verbose=False,
        )
        return cast("list[list[int]]", encoded["input_ids"])


def _named(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name != "$args"}
