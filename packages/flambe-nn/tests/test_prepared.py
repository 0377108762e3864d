"""The same field on the same texts does not cut them twice, and nothing is taken for the same that is not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from flambe.dataset import TabularDataset, prepared
from flambe.field import LabelField, TextField
from flambe.sampler import BaseSampler
from flambe.tokenizer import CharTokenizer, NGramsTokenizer, WordTokenizer

ROWS = [["a film worth its time .", "good"], ["\0 too — long", "bad"], ["", "bad"]]


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(prepared, "LEAST_BYTES", 1)
    monkeypatch.setattr(prepared, "folder", lambda: tmp_path)
    return tmp_path


def dataset(rows: Any = ROWS, cache: bool = True, **options: Any) -> TabularDataset:
    transform = {"text": TextField(**{"tokenizer": NGramsTokenizer(), **options}), "label": LabelField()}
    return TabularDataset(train=rows, val=[["a long one", "good"]], cache=cache, transform=transform)


def entries(base: Path) -> int:
    return len(list(base.iterdir()))


def test_the_second_time_nothing_is_cut(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = dataset()
    assert entries(base) == 2  # the texts and the labels

    def refuse(self: Any, example: str) -> list[str]:
        raise AssertionError(f"{example!r} was cut again")

    with monkeypatch.context() as patch:
        patch.setattr(NGramsTokenizer, "tokenize", refuse)
        second = dataset()
        sampler = BaseSampler(batch_size=2, seed=0)
        for one, other in zip(
            sampler.iterate(first.train, n_epochs=1), sampler.iterate(second.train, n_epochs=1), strict=True
        ):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert second.text.vocab == first.text.vocab
    assert second.label.vocab_size == first.label.vocab_size
    assert torch.equal(second.val[0][0], first.val[0][0])
    assert torch.equal(second.text.process("worth it"), first.text.process("worth it"))
    assert entries(base) == 2


def test_what_decides_the_result_names_the_entry(base: Path) -> None:
    made = 2
    dataset()
    for options in (
        {"tokenizer": WordTokenizer()},
        {"tokenizer": CharTokenizer()},
        {"tokenizer": NGramsTokenizer(2)},
        {"tokenizer": NGramsTokenizer(exclude_stopwords=True)},
        {"lower": True},
        {"sos_token": "<s>"},
        {"vocabulary": ["film"]},
    ):
        changed = dataset(**options)
        made += 1  # the labels are the same
        assert entries(base) == made
        fresh = dataset(cache=False, **options)
        assert changed.text.vocab == fresh.text.vocab
        assert all(torch.equal(a[0], b[0]) for a, b in zip(changed.train, fresh.train, strict=True))
    dataset([["a film worth its time.", "good"], *ROWS[1:]])  # the labels are the same again
    assert entries(base) == made + 1


def test_a_field_that_has_seen_more_is_another(base: Path) -> None:
    field = TextField(tokenizer=NGramsTokenizer())
    TabularDataset(train=[["before them"]], transform={"text": field})
    dataset(ROWS)
    both = TabularDataset(train=[row[:1] for row in ROWS], val=[["a long one"]], transform={"text": field})
    assert both.text.vocab["before"] == 2
    assert both.text.vocab["film"] == 5


def test_strangers_and_files_are_not_kept(base: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    class Mine(NGramsTokenizer):
        pass

    class MyField(TextField):
        pass

    vectors = tmp_path_factory.mktemp("vectors") / "glove.txt"
    vectors.write_text("film 1 2\n")
    TabularDataset(train=[["a film"]], transform={"text": TextField(tokenizer=Mine())})
    TabularDataset(train=[["a film"]], transform={"text": MyField()})
    TabularDataset(train=[["a film"]], transform={"text": TextField(embeddings=str(vectors))})
    TabularDataset(train=[["a film"], [None]], transform={"text": TextField()})
    dataset(cache=False)
    assert entries(base) == 0


def test_a_torn_entry_is_made_again(base: Path) -> None:
    wanted = [[example[0] for example in dataset().train]]
    for entry in base.iterdir():
        path = entry / "state.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    for _ in range(2):
        wanted.append([example[0] for example in dataset().train])
    for row in zip(*wanted, strict=True):
        assert torch.equal(row[0], row[1])
        assert torch.equal(row[0], row[2])


def test_old_entries_make_room(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "MOST_BYTES", 0)
    for number in range(3):
        dataset([[f"text {number}", "good"]])
        assert entries(base) == 1  # the last one made


def test_a_folder_that_cannot_be_written_is_no_error(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "file").write_text("")
    monkeypatch.setattr(prepared, "folder", lambda: base / "file" / "below")
    assert dataset().text.vocab["film"] == 3


def test_it_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("FLAMBE_PREPARED", "0")
    assert prepared.folder() is None
    monkeypatch.setenv("FLAMBE_PREPARED", "1")
    assert str(prepared.folder()).endswith(os.path.join("flambe", "prepared"))
