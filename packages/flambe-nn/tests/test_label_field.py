"""LabelField."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from flambe.field import LabelField

DATA = np.array(["b", "a", "b", "c"], dtype=object)


def ready(**options: object) -> LabelField:
    field = LabelField(**options)  # type: ignore[arg-type]
    field.setup(DATA)
    return field


def test_ids_follow_first_appearance() -> None:
    field = ready()
    assert field.vocab == {"b": 0, "a": 1, "c": 2}
    assert field.vocab_size == 3
    assert field.vocab_list == ["b", "a", "c"]
    label = field.process("a")
    assert label.shape == ()
    assert label.dtype == torch.long
    assert label.item() == 1


def test_counts_and_weights() -> None:
    field = ready()
    assert field.label_count.tolist() == [2, 1, 1]
    assert field.label_freq.tolist() == [0.5, 0.25, 0.25]
    assert field.label_inv_freq.tolist() == [2, 4, 4]
    absent = LabelField(labels=["b", "a", "c", "never"])
    absent.setup(DATA)
    assert absent.label_inv_freq.tolist() == [2, 4, 4, 0]


def test_fixed_labels() -> None:
    assert ready(labels=["a", "b", "c"]).process("c").item() == 2
    with pytest.raises(ValueError, match="label 'c' is not known; expected one of: a, b"):
        ready(labels=["a", "b"])
    with pytest.raises(ValueError, match="twice"):
        LabelField(labels=["a", "a"])


def test_labels_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("c\nb\na\n", encoding="utf-8")
    assert ready(labels=str(file)).vocab == {"c": 0, "b": 1, "a": 2}


def test_one_hot_and_several_labels() -> None:
    assert ready(one_hot=True).process("a").tolist() == [0, 1, 0]
    field = LabelField(multilabel_sep=",")
    field.setup(np.array(["a,b", "c"], dtype=object))
    assert field.process("c,a").tolist() == [2, 0]
    assert field.process("c").tolist() == [2]
    both = LabelField(one_hot=True, multilabel_sep=",")
    both.setup(np.array(["a,b", "c"], dtype=object))
    assert both.process("c,a").tolist() == [1, 0, 1]


def test_an_unknown_label() -> None:
    with pytest.raises(ValueError, match=r"label 'bb' is not known; expected one of: b, a, c"):
        ready().process("bb")


def test_numbers_are_labels_the_same_way_everywhere() -> None:
    field = LabelField()
    field.setup(
        np.array([1, 1.0, "1", np.int64(1), np.float32(1)], dtype=object),
        np.array([0.5, None, float("nan")], dtype=object),
    )
    assert field.vocab == {"1": 0, "0.5": 1, "nan": 2}


@pytest.mark.parametrize(
    "options", [{}, {"one_hot": True}, {"multilabel_sep": ","}, {"one_hot": True, "multilabel_sep": ","}]
)
def test_packing_gives_what_process_gives(options: dict[str, object]) -> None:
    data = np.array(["b", "a,b", "c"], dtype=object)
    field = LabelField(**options)  # type: ignore[arg-type]
    field.setup(data)
    (column,) = field.pack(data)  # type: ignore[misc]
    for place, value in enumerate(data):
        expected = field.process(value)
        assert torch.equal(column.example(place), expected)
        assert column.example(place).dtype == expected.dtype


def test_state_comes_back() -> None:
    again = LabelField()
    again._load_state(ready()._state({}, "p.", {}), "p.", {}, True, [], [], [])
    assert again.vocab == ready().vocab
    assert torch.equal(again.label_count, ready().label_count)
