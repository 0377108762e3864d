"""``PretrainedTransformerField``: text to the ids of a pretrained tokenizer. Shapes: S longest sequence."""

from __future__ import annotations

from itertools import chain
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from flambe.dataset.column import RaggedColumn, offsets_of
from flambe.field.field import Field, as_text
from flambe.nlp.transformers.package import pretrained


class PretrainedTransformerField(Field):
    """Cut text into the word pieces that a pretrained model was trained with.

    The vocabulary comes with the tokenizer: nothing is learnt from the data. A saved field keeps the alias, so that
    the folder, or the model of the hub, has to be there when it is loaded.

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
        self.alias = alias
        self.cache_dir = cache_dir
        self.max_len_truncate = max_len_truncate
        self.add_special_tokens = add_special_tokens
        self._tokenizer = pretrained("AutoTokenizer", alias, self.family, {"cache_dir": cache_dir, **kwargs})

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
