"""BaseSampler."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pad_sequence

from flambe.dataset import TabularDataset
from flambe.dataset.column import ListColumn, RaggedColumn, offsets_of, pack
from flambe.field import LabelField, TextField
from flambe.learn.batches import BatchStream
from flambe.sampler import BaseSampler, Sampler
from flambe.sampler.base import collate_fn


def numbers(n: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.arange(1, 2 + i % 7), torch.tensor(i)) for i in range(n)]


def ids(batches: Any) -> list[int]:
    return [int(number) for batch in batches for number in batch[1]]


@pytest.fixture
def data() -> TabularDataset:
    rows = [(" ".join(["w"] * (1 + i * 7 % 13)), str(i)) for i in range(100)]
    return TabularDataset(rows, transform={"text": TextField(), "label": LabelField()})


def test_batches_are_those_of_torch(data: TabularDataset) -> None:
    examples = list(data.train)
    for batch, indices in zip(
        BaseSampler(batch_size=8, shuffle=False).sample(data.train), range(0, 100, 8), strict=True
    ):
        rows = examples[indices : indices + 8]
        assert torch.equal(batch[0], pad_sequence([row[0] for row in rows], batch_first=True))
        assert torch.equal(batch[1], torch.stack([row[1] for row in rows]))
        assert batch[0].dtype == batch[1].dtype == torch.long


@pytest.mark.parametrize("bucket", [False, True, 2])
def test_packed_and_unpacked_data_give_the_same_batches(data: TabularDataset, bucket: bool | int) -> None:
    sampler = BaseSampler(batch_size=8, seed=3, bucket=bucket, pad_index=(9, 0))
    packed = list(sampler.iterate(data.train, n_epochs=1))
    plain = list(sampler.iterate(list(data.train), n_epochs=1))
    assert len(packed) == len(plain) == sampler.length(data.train) == 13
    assert all(
        torch.equal(a, b) for left, right in zip(packed, plain, strict=True) for a, b in zip(left, right, strict=True)
    )
    assert any((batch[0] == 9).any() for batch in packed)


@given(
    n=st.integers(1, 60), size=st.integers(1, 20), bucket=st.integers(0, 3), shuffle=st.booleans(),
    drop=st.booleans(), epoch=st.integers(0, 3), share=st.sampled_from([None, 0.3, 1.0]),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_an_epoch_has_every_example_once(
    n: int, size: int, bucket: int, shuffle: bool, drop: bool, epoch: int, share: float | None
) -> None:
    sampler = BaseSampler(size, shuffle, seed=1, bucket=bucket, drop_last=drop, downsample=share)
    batches = sampler.batches(numbers(n), epoch)
    seen = np.concatenate(batches).tolist() if batches else []
    examples = n if share is None else max(1, int(n * share))
    assert len(seen) == len(set(seen)) == (examples // size * size if drop else examples)
    assert len(batches) == sampler.length(numbers(n))
    short = [len(batch) for batch in batches if len(batch) < size]
    assert len(short) == (0 if drop or examples % size == 0 else 1)


def test_the_seed_makes_the_order() -> None:
    data = numbers(50)
    first, second = (ids(BaseSampler(4, seed=7).sample(data)) for _ in range(2))
    assert first == second != ids(BaseSampler(4, seed=8).sample(data))
    assert sorted(first) == list(range(50))
    assert ids(BaseSampler(4, shuffle=False).sample(data)) == list(range(50))


def test_without_a_seed_it_follows_torch() -> None:
    torch.manual_seed(5)
    first = BaseSampler()
    second = BaseSampler()
    torch.manual_seed(5)
    assert BaseSampler().seed == first.seed != second.seed


def test_epochs_differ_and_calls_go_on() -> None:
    data, sampler = numbers(30), BaseSampler(4, seed=1)
    two = ids(sampler.sample(data, n_epochs=2))
    assert two[:30] != two[30:]
    assert sorted(two[30:]) == list(range(30))
    again = BaseSampler(4, seed=1)
    assert ids(again.sample(data)) + ids(again.sample(data)) == two
    assert len(list(islice(sampler.sample(data, n_epochs=-1), 100))) == 100


@given(epoch=st.integers(0, 3), batch=st.integers(0, 8), bucket=st.booleans())
@settings(max_examples=40, deadline=None)
def test_it_can_begin_anywhere(epoch: int, batch: int, bucket: bool) -> None:
    data, sampler = numbers(33), BaseSampler(4, seed=1, bucket=bucket)
    whole = [ids([batch]) for batch in sampler.iterate(data, n_epochs=5)]
    late = [ids([batch]) for batch in sampler.iterate(data, start=(epoch, batch), n_epochs=5)]
    assert late == whole[epoch * 9 + batch :]


def test_buckets_save_padding_and_stay_random() -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(1, 50, 2000)
    data = [(torch.ones(int(length), dtype=torch.long), torch.tensor(i)) for i, length in enumerate(lengths)]

    def padding(sampler: BaseSampler) -> float:
        cells = [(batch[0].numel(), int(batch[0].sum())) for batch in sampler.sample(data)]
        return 1 - sum(real for _, real in cells) / sum(all_ for all_, _ in cells)

    assert padding(BaseSampler(32, seed=0)) > 0.4
    assert padding(BaseSampler(32, seed=0, bucket=True)) < 0.05
    batches = BaseSampler(32, seed=0, bucket=True).batches(data, 0)
    means = [float(lengths[batch].mean()) for batch in batches]
    assert abs(float(np.corrcoef(means, np.arange(len(means)))[0, 1])) < 0.4
    assert {frozenset(batch.tolist()) for batch in batches} != {
        frozenset(batch.tolist()) for batch in BaseSampler(32, seed=0, bucket=True).batches(data, 1)
    }


def test_downsampling_is_fixed() -> None:
    data = numbers(100)
    sampler = BaseSampler(10, seed=1, downsample=0.25, downsample_seed=3)
    assert sampler.length(data) == 3
    first, second = (set(ids(sampler.sample(data))) for _ in range(2))
    assert first == second
    assert len(first) == 25
    assert set(ids(BaseSampler(10, seed=9, downsample=0.25, downsample_seed=3).sample(data))) == first
    assert len(ids(BaseSampler(10, downsample_max_samples=7).sample(data))) == 7
    assert len(ids(BaseSampler(10, downsample_max_samples=700).sample(data))) == 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"downsample": 0}, r"downsample must be in \(0, 1\], got 0"),
        ({"downsample": 1.1}, "downsample must be"),
        ({"downsample": 0.5, "downsample_max_samples": 3}, "exclude each other"),
        ({"bucket": -1}, "bucket must be"),
    ],
)
def test_bad_parameters(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BaseSampler(**options)


def test_faults_are_told_at_the_call() -> None:
    with pytest.raises(ValueError, match="no examples"):
        BaseSampler().sample([])
    with pytest.raises(ValueError, match="with drop_last nothing is left of 3 examples, fewer than batch_size 4"):
        BaseSampler(4, drop_last=True).iterate(numbers(3))
    with pytest.raises(ValueError, match="with drop_last nothing is left of 3 examples"):
        BatchStream(BaseSampler(4, drop_last=True)).open(numbers(3))
    with pytest.raises(ValueError, match="pad_index has 3 values, but the examples have 2 columns"):
        next(BaseSampler(pad_index=(0, 0, 0)).sample(numbers(3)))
    rows = TabularDataset([("text", 1), ("more", 2)])
    with pytest.raises(TypeError, match="text.*no number: give the dataset a `transform`"):
        next(BaseSampler(shuffle=False).sample(rows.train))


def test_the_example_of_the_documentation() -> None:
    dataset = TabularDataset(np.random.default_rng(0).random((2, 10)))
    (batch,) = BaseSampler(batch_size=4).sample(dataset)
    assert len(batch) == 10
    assert batch[0].shape == (2,)


def nested(depth: int) -> st.SearchStrategy[Any]:
    if depth == 0:
        return st.integers(1, 9)
    return st.lists(nested(depth - 1), min_size=1, max_size=3)


@given(st.lists(nested(3), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_nested_lists_are_padded_on_every_level(examples: list[Any]) -> None:
    (batch,) = collate_fn([(example,) for example in examples], 0)

    def check(example: Any, got: torch.Tensor) -> None:
        if isinstance(example, int):
            assert got.item() == example
            return
        for place, piece in enumerate(got):
            if place < len(example):
                check(example[place], piece)
            else:
                assert not piece.any()

    for example, got in zip(examples, batch, strict=True):
        check(example, got)


def test_packing_chooses_by_shape() -> None:
    assert isinstance(pack([torch.ones(2), torch.ones(3)]), RaggedColumn)
    assert isinstance(pack([torch.ones(2, 2), torch.ones(3, 2)]), ListColumn)
    assert isinstance(pack([[torch.ones(2)], [torch.ones(1), torch.ones(2)]]), ListColumn)
    assert pack([torch.tensor(True), torch.tensor(False)]).batch(np.array([1, 0]), 0).tolist() == [False, True]
    assert pack([torch.ones(2, 2), torch.ones(3, 2)]).batch(np.array([0, 1]), -1).shape == (2, 3, 2)
    empty = RaggedColumn(np.array([5], dtype=np.int32), offsets_of([0, 1, 0]), "int64")
    assert empty.batch(np.array([0, 2]), 0).shape == (2, 0)
    assert empty.batch(np.array([0, 1, 2]), 7).tolist() == [[7], [5], [7]]


def test_workers_give_the_same_batches(data: TabularDataset) -> None:
    plain = list(BaseSampler(16, seed=2).sample(data.train))
    workers = list(BaseSampler(16, seed=2, n_workers=1).sample(data.train))
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(plain, workers, strict=True))


def test_a_drawn_seed_is_part_of_the_state() -> None:
    sampler = BaseSampler(4)
    list(sampler.sample(numbers(10)))
    other = BaseSampler(4)
    other._load_state(sampler._state({}, "s.", {}), "s.", {}, True, [], [], [])
    assert ids(other.sample(numbers(10))) == ids(sampler.sample(numbers(10)))


def test_batches_do_not_touch_memory_mapped_data(data: TabularDataset) -> None:
    column = data.train.packed()[0]  # type: ignore[index]
    column.values.flags.writeable = False  # type: ignore[union-attr]
    batch: Sequence[torch.Tensor] = next(BaseSampler(4, shuffle=False).sample(data.train))
    batch[0].zero_()
    data.train[0][0].zero_()
    assert next(BaseSampler(4, shuffle=False).sample(data.train))[0].any()


def test_the_base_says_what_is_missing() -> None:
    with pytest.raises(TypeError, match="Sampler must implement sample"):
        Sampler().sample([])
