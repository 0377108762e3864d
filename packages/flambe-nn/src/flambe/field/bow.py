"""``BoWField``: text to counts of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from flambe.dataset.raw import TextArray
from flambe.field.field import Field, as_text
from flambe.tokenizer.tokenizer import Tokenizer
from flambe.tokenizer.word import NGramsTokenizer


class BoWField(Field):
    """A vector with the count of every word that is frequent enough.

    The first place counts words that were never seen; words that were seen too rarely count nowhere.

    Parameters
    ----------
    tokenizer: text to tokens; default ``NGramsTokenizer`` (what blanks separate).
    lower: lower-case the text first.
    unk_token: name of the first place.
    min_freq: how often a token must be seen in ``setup``.
    normalize: divide the counts by their sum.
    scale_factor: multiply them after that; needs ``normalize``.

    Attributes
    ----------
    vocab: token to place. full_vocab: token to how often it was seen.
    """

    reads_text = True

    def __init__(
        self,
        tokenizer: Tokenizer | None = None,
        lower: bool = False,
        unk_token: str = "<unk>",  # noqa: S107
        min_freq: int = 5,
        normalize: bool = False,
        scale_factor: float | None = None,
    ) -> None:
        if scale_factor is not None and not normalize:
            raise ValueError("scale_factor needs normalize: true")
        self.tokenizer = NGramsTokenizer() if tokenizer is None else tokenizer
        self.lower = lower
        self.unk_token = unk_token
        self.min_freq = min_freq
        self.normalize = normalize
        self.scale_factor = scale_factor
        self.vocab: dict[str, int] = {unk_token: 0}
        self.full_vocab: dict[str, int] = {}

    @property
    def vocab_size(self) -> int:
        """Places in the vector."""
        return len(self.vocab)

    def setup(self, *data: npt.NDArray[Any]) -> None:
        """Count the tokens of ``data``; places follow first appearance."""
        counts: Counter[str] = Counter(self.full_vocab)
        for array in data:
            for text in array.ravel() if isinstance(array, np.ndarray) else array:
                counts.update(self._tokens(text))
        self.full_vocab = dict(counts)
        for token, count in self.full_vocab.items():
            if count >= self.min_freq:
                self.vocab.setdefault(token, len(self.vocab))

    def process(self, example: Any) -> Tensor:
        """Text to ``[vocab_size]`` float."""
        counts = torch.zeros(len(self.vocab))
        for token, count in Counter(self._tokens(example)).items():
            place = self.vocab.get(token)
            if place is not None:
                counts[place] += count
            elif token not in self.full_vocab:
                counts[0] += count
        if self.normalize:
            counts = counts / counts.sum().clamp(min=1)
            if self.scale_factor is not None:
                counts = counts * self.scale_factor
        return counts

    def _tokens(self, text: Any) -> Iterable[str]:
        text = as_text(text)
        return self.tokenizer.tokenize(text.lower() if self.lower else text)

    def _state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> Any:
        """Tokens with their counts and places."""
        for name, words in (("vocab", self.vocab), ("full_vocab", self.full_vocab)):
            texts = TextArray.of(list(words))
            state_dict[f"{prefix}{name}_text"] = texts.data
            state_dict[f"{prefix}{name}_offsets"] = texts.offsets
        state_dict[prefix + "full_vocab_counts"] = np.fromiter(self.full_vocab.values(), dtype=np.int64)
        return state_dict

    def _load_state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], strict: bool,
                    missing_keys: list[Any], unexpected_keys: list[Any], error_msgs: list[Any]) -> None:  # fmt: skip
        """Take them back."""
        if prefix + "vocab_text" not in state_dict:
            missing_keys.append(prefix + "vocab_text")
            return
        words, seen = (
            TextArray(state_dict[f"{prefix}{name}_text"], state_dict[f"{prefix}{name}_offsets"]).tolist()
            for name in ("vocab", "full_vocab")
        )
        self.vocab = {token: place for place, token in enumerate(words)}
        counts = np.asarray(state_dict[prefix + "full_vocab_counts"]).tolist()
        self.full_vocab = dict(zip(seen, counts, strict=True))
