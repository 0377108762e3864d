"""BoWField."""

from __future__ import annotations

import numpy as np
import pytest

from flambe.field import BoWField
from flambe.tokenizer import WordTokenizer

TEXTS = np.array(["thank you", "thank you very much", "thanks a lot"], dtype=object)


def ready(**options: object) -> BoWField:
    field = BoWField(min_freq=2, **options)  # type: ignore[arg-type]
    field.setup(TEXTS)
    return field


def test_counts() -> None:
    field = ready()
    assert list(field.vocab) == ["<unk>", "thank", "you"]
    assert field.vocab_size == 3
    # `very` was seen, too rarely; `never` and `seen` were not.
    assert field.process("you thank you very never seen").tolist() == [2, 1, 2]
    assert field.process("").tolist() == [0, 0, 0]


def test_normalised() -> None:
    assert ready(normalize=True).process("you you thank never").tolist() == [0.25, 0.25, 0.5]
    assert ready(normalize=True, scale_factor=8).process("you you thank never").tolist() == [2, 2, 4]
    assert ready(normalize=True).process("").tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="scale_factor needs normalize"):
        BoWField(scale_factor=2)


def test_lower_tokenizer_and_a_second_setup() -> None:
    assert ready(lower=True).process("THANK").tolist() == [0, 1, 0]
    assert ready(tokenizer=WordTokenizer()).process("thank, you").tolist() == [1, 1, 1]
    field = ready()
    field.setup(np.array(["a lot"], dtype=object))
    assert list(field.vocab) == ["<unk>", "thank", "you", "a", "lot"]


def test_state_comes_back() -> None:
    again = BoWField(min_freq=2)
    again._load_state(ready()._state({}, "p.", {}), "p.", {}, True, [], [], [])
    assert again.vocab == ready().vocab
    assert again.full_vocab == ready().full_vocab
    assert again.process("you never").tolist() == ready().process("you never").tolist()
