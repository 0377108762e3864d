"""TabularDataset, from Python and from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flambe.dataset import Dataset, TabularDataset
from flambe.errors import ConfigError, FlambeError
from flambe.field import Field, LabelField, TextField

TRAIN = [("the film", "good"), ("a bad film", "bad")]
VAL = [("good film", "good")]
TEST = [("the worst", "bad"), ("the best one", "good")]


def made(**options: Any) -> TabularDataset:
    transform = options.pop("transform", {"text": TextField(), "label": LabelField()})
    return TabularDataset(TRAIN, VAL, TEST, transform=transform, **options)


def lists(examples: Any) -> list[Any]:
    return [[tensor.tolist() for tensor in example] for example in examples]


def test_fields_see_all_splits_and_become_attributes() -> None:
    data = made()
    assert data.text.vocab_size == 2 + 8
    assert data.label.vocab == {"good": 0, "bad": 1}
    assert lists(data.train) == [[[2, 3], 0], [[4, 5, 3], 1]]
    assert lists(data.val) == [[[6, 3], 0]]


def test_it_is_a_sequence_over_train_val_and_test() -> None:
    data = made()
    assert len(data) == 5
    assert data.cols == 2
    assert lists(data) == lists(data.train) + lists(data.val) + lists(data.test)
    assert lists([data[2], data[-1], data[0]]) == lists([data.val[0], data.test[1], data.train[0]])
    assert data.raw.tolist() == [list(row) for row in TRAIN + VAL + TEST]
    assert data.dev is data.val
    for index in (5, -6):
        with pytest.raises(IndexError, match=f"no example {index}: the dataset has 5"):
            data[index]


def test_nothing_can_be_changed() -> None:
    data = made()
    for target in (data, data.train):
        with pytest.raises(ValueError, match="cannot be changed"):
            target[0] = 1
        with pytest.raises(ValueError, match="cannot be changed"):
            del target[0]
    assert data.immutable
    assert data.seedless


def test_without_a_transform_rows_are_what_came() -> None:
    data = TabularDataset(np.random.default_rng(0).random((2, 3)))
    assert len(data.train) == 2
    assert data.cols == 3
    assert data.val.is_empty()
    assert len(data.test) == 0
    assert isinstance(data.train[0], tuple)
    assert isinstance(data.train[0][0], float)
    with pytest.raises(IndexError, match="the split is empty"):
        data.val[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([("a", 1), ("b",)],), r"train: rows have different numbers of columns: \[1, 2\]"),
        ((TRAIN, [("a",)]), "train has 2 columns and val has 1"),
        ((["ab", "cd"],), "a row must be a sequence of columns"),
    ],
)
def test_bad_rows(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TabularDataset(*arguments)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        ({"text": {"columns": 0}}, "transform 'text' has no `field`"),
        (
            {"text": {"field": TextField(), "colums": 0}},
            r"transform 'text' has \['colums'\]; expected field and columns",
        ),
        ({"text": {"field": TextField(), "columns": 2}}, "uses column 2, but there are 2 columns"),
        ({"text": {"field": TextField(), "columns": "txet"}}, "no column 'txet'. Did you mean 'text'"),
        ({"text": 3}, "must be a field or"),
        ({"train": TextField()}, "cannot be called 'train'"),
        ({"a": TextField(), "b": TextField(), "c": TextField()}, "'c' uses column 2"),
    ],
)
def test_bad_transforms(transform: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(transform=transform, named_columns=["text", "label"])


def test_named_columns() -> None:
    with pytest.raises(ValueError, match="named_columns has 1 names for 2 columns"):
        made(named_columns=["text"])
    with pytest.raises(ValueError, match="the columns have no names"):
        made(transform={"x": {"field": LabelField(), "columns": "label"}})
    data = made(
        named_columns=["text", "label"],
        transform={"y": {"field": LabelField(), "columns": "label"}, "x": {"field": TextField(), "columns": 0}},
    )
    assert lists(data.train) == [[0, [2, 3]], [1, [4, 5, 3]]]


class Lengths(Field):
    """Length of the first column, and of both."""

    calls = 0

    def process(self, *example: Any) -> tuple[torch.Tensor, ...]:
        Lengths.calls += 1
        return torch.tensor(len(example[0])), torch.tensor([len(column) for column in example])


def test_a_field_with_several_columns_and_outputs() -> None:
    data = made(
        transform={"size": {"field": Lengths(), "columns": [1, 0]}, "label": {"field": LabelField(), "columns": 1}}
    )
    assert lists(data.train) == [[4, [4, 8], 0], [3, [3, 10], 1]]
    assert [column.batch(np.array([1, 0]), 0).tolist() for column in data.train.packed() or ()] == [
        [3, 4], [[3, 10], [4, 8]], [1, 0]]  # fmt: skip


@pytest.mark.parametrize(("cache", "calls"), [(True, 1), (False, 3)])
def test_cache_keeps_what_was_made(cache: bool, calls: int) -> None:
    data = made(cache=cache, transform={"size": Lengths()})
    Lengths.calls = 0
    for _ in range(3):
        data.train[1]
    assert Lengths.calls == calls
    assert (data.train.packed() is None) is not cache


def test_transforms_are_lazy() -> None:
    class Picky(Field):
        def process(self, example: str) -> torch.Tensor:
            return torch.tensor(float(example))

    data = TabularDataset([("1",), ("x",)], transform={"number": Picky()})
    assert data.train[0][0].item() == 1
    with pytest.raises(ValueError, match="could not convert"):
        data.train[1]


def test_slices_and_negative_indices() -> None:
    data = made()
    assert lists(data.train[-1:]) == lists([data.train[1]]) == lists([data.train[-1]])
    data.train.packed()
    assert lists(data.train[::-1]) == lists([data.train[1], data.train[0]])


words = st.text("ab é.\u2028", max_size=6)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_restored_dataset_is_the_same(rows: list[tuple[str, str]]) -> None:
    transform = {"text": TextField(), "label": LabelField()}
    data = TabularDataset(rows, rows[:1], named_columns=["t", "l"], transform=transform)
    state = data._state({}, "", {})
    again = TabularDataset.restore({"transform": transform, "cache": True}, state)
    assert lists(again) == lists(data)
    assert again.raw.tolist() == data.raw.tolist()
    assert again.text is data.text
    assert again.named_columns == ["t", "l"]
    assert again.train.packed()[0].values is state["train_0_values"]  # type: ignore[index]


def test_numbers_are_restored_as_numbers() -> None:
    data = TabularDataset([(1, 0.5, True, "x"), (2, 1.5, False, "y")])
    again = TabularDataset.restore({}, data._state({}, "", {}))
    assert again.raw.tolist() == data.raw.tolist()
    assert [type(value) for value in again.train[0]] == [int, float, bool, str]


# --- files ---


def write(folder: Path, name: str, text: str) -> str:
    file = folder / name
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_from_path(tmp_path: Path) -> None:
    train = write(tmp_path, "train.tsv", "text\tlabel\nNA film\t007\nnull\t\n")
    test = write(tmp_path, "test.tsv", "text\tlabel\n\tNaN\n")
    data = TabularDataset.from_path(train, test_path=test, transform={"text": TextField(), "label": LabelField()})
    assert data.raw.tolist() == [["NA film", "007"], ["null", ""], ["", "NaN"]]
    assert data.named_columns == ["text", "label"]
    assert data.label.vocab == {"007": 0, "": 1, "NaN": 2}
    assert data.val.is_empty()


def test_columns_and_where(tmp_path: Path) -> None:
    file = write(tmp_path, "data.csv", 'text,label,source\n"a, b",1,x\nc,0,y\nd,1,z\n')
    data = TabularDataset.from_path(file, sep=",", columns=["label", "text"], where={"source": ["x", "z"]})
    assert data.raw.tolist() == [[1, "a, b"], [1, "d"]]
    assert data.named_columns == ["label", "text"]
    data = TabularDataset.from_path(file, sep=",", columns=[2, 0], where={1: 0})
    assert data.raw.tolist() == [["y", "c"]]
    headless = TabularDataset.from_path(file, sep=",", header=None, columns=[0])
    assert headless.named_columns is None
    assert len(headless) == 4
    for columns, message in [
        (["text", 1], "columns must be all names or all numbers"),
        (["txt"], "has no column 'txt'. Did you mean 'text'"),
        ([3], "has 3 columns, counted from 0; there is no column 3"),
    ]:
        with pytest.raises(ValueError, match=message):
            TabularDataset.from_path(file, sep=",", columns=columns)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no rows that `where` keeps"):
        TabularDataset.from_path(file, sep=",", where={"source": "w"})
    with pytest.raises(ValueError, match="read without a header"):
        TabularDataset.from_path(file, sep=",", header=None, columns=["text"])


def test_numbers_in_columns_that_no_field_reads_as_text(tmp_path: Path) -> None:
    train = write(tmp_path, "train.csv", "n,f,t,label\n1,0.5,1,1\n2,,x,0\n")
    test = write(tmp_path, "test.csv", "n,f,t,label\n3,1,2,1\n")
    data = TabularDataset.from_path(
        train, test_path=test, sep=",", transform={"label": {"field": LabelField(), "columns": "label"}}
    )
    assert data.raw[:, 0].tolist() == [1, 2, 3]
    assert data.raw[:, 2].tolist() == ["1", "x", "2"]
    assert data.raw[0, 1] == 0.5
    assert np.isnan(data.raw[1, 1])
    assert data.raw[:, 3].tolist() == ["1", "0", "1"]


def test_a_folder_is_its_files_in_order(tmp_path: Path) -> None:
    write(tmp_path, "d/b.csv", "x\n2\n")
    write(tmp_path, "d/a.csv", "x\n1\n")
    write(tmp_path, "d/.hidden", "x\n9\n")
    assert TabularDataset.from_path(str(tmp_path / "d")).raw.tolist() == [[1], [2]]
    write(tmp_path, "d/c.csv", "y\n1\n")
    with pytest.raises(ConfigError, match=r"c.csv has columns \['y'\], but .*a.csv has \['x'\]"):
        TabularDataset.from_path(str(tmp_path / "d"))


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"nowhere.csv does not exist. A relative path .* Written `!file ./nowhere.csv` it begins at the YAML file",
    ):
        TabularDataset.from_path("nowhere.csv")
    with pytest.raises(ValueError, match="has no rows"):
        TabularDataset.from_path(write(tmp_path, "empty.csv", ""))
    with pytest.raises(ConfigError, match="not a table separated by ','"):
        TabularDataset.from_path(write(tmp_path, "bad.csv", 'a,b\n1,2\n1,2,3,4\n"x'), sep=",")
    latin = tmp_path / "latin.csv"
    latin.write_bytes("a\né\n".encode("latin-1"))
    assert TabularDataset.from_path(str(latin), encoding="latin-1").raw.tolist() == [["é"]]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            "a\tb\nx\tcafé noir\n".encode("latin-1"),
            r":2 is not in utf-8: the byte 0xe9 stands between b'x\\tcaf' and b' noir'",
        ),
        # It ends within what would be one character: nothing about quotes.
        ("a\tb\nx\tcafé".encode("latin-1"), r":2 is not in utf-8: .*`encoding: latin-1`"),
        ("a\tb\nx\t“so”\n".encode("cp1252"), r":2 is not in utf-8: .*`encoding: cp1252`"),
        ("a\tb\nx\ty\n".encode("utf-16"), r":1 is not in utf-8: .*`encoding: utf-16`, as its first bytes say"),
    ],
)
def test_a_file_in_another_encoding_is_told_with_the_place_and_one_to_try(
    tmp_path: Path, data: bytes, told: str
) -> None:
    file = tmp_path / "other.tsv"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match="other.tsv" + told) as caught:
        TabularDataset.from_path(str(file))
    likely = str(caught.value).partition("`encoding: ")[2].partition("`")[0]
    assert TabularDataset.from_path(str(file), encoding=likely).raw.tolist() == [
        ["x", data.decode(likely).rstrip().rpartition("\t")[2]]
    ]


QUOTES = '"hello there\tx\nhe said "no"\ty\n5" nail\tx\n'


def test_quotes_may_be_plain_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = TabularDataset.from_path
    file = write(tmp_path, "said.tsv", "text\tlabel\n" + QUOTES)
    cells = [line.split("\t") for line in QUOTES.splitlines()]
    assert read(file, quotechar=None).raw.tolist() == cells
    assert len(TabularDataset.autogen(file, quotechar=None)) == len(cells)
    assert capsys.readouterr().err == ""
    assert len(read(file)) == 2
    assert capsys.readouterr().err == (
        f"warning: {file}: quotes (\") make one row of 2 lines, of which each could be one; the first begins 'hello there\\tx'. "
        "Where quotes are plain text: `quotechar: null`\n"
    )
    unclosed = write(tmp_path, "open.tsv", 'text\tlabel\n"hello there\tx\n')
    with pytest.raises(
        ConfigError, match='begins with " is never closed; where quotes are plain text: `quotechar: null`'
    ):
        read(unclosed)
    with pytest.raises(ValueError, match="quotechar must be one character, or null .*, got ''"):
        read(file, quotechar="")


def test_text_of_several_lines_is_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, "reviews.csv", "text,label\n'A film, in colour.\n\nI liked it, mostly, and so.',1\nno,0\n")
    data = TabularDataset.from_path(file, sep=",", quotechar="'")
    assert data.raw[0].tolist() == ["A film, in colour.\n\nI liked it, mostly, and so.", 1]
    assert capsys.readouterr().err == ""


NEWS = "topic,text\na,one two\nb,three\na,four\n"


@pytest.mark.parametrize("read", [TabularDataset.from_path, TabularDataset.autogen])
def test_a_wrong_separator_is_guessed_in_the_error(tmp_path: Path, read: Any) -> None:
    file = write(tmp_path, "news.csv", NEWS)
    fields = {"topic": LabelField(), "text": TextField()}
    hint = rf"The first line of {file} has commas: `sep: ','`\?"
    with pytest.raises(ValueError, match=f"transform 'text' uses column 1, but there is 1 column, .*{hint}"):
        read(file, transform=fields)
    by_name = {"text": {"field": TextField(), "columns": "text"}}
    with pytest.raises(ValueError, match=f"transform 'text': there is no column 'text'. .*{hint}"):
        read(file, transform=by_name)
    with pytest.raises(ValueError, match=f"{file} has no column 'text'. .*{hint}"):
        read(file, columns=["text"])
    with pytest.raises(ValueError, match=f"{file} has 1 column, counted from 0; there is no column 1. {hint}"):
        read(file, columns=[1])
    with pytest.raises(ValueError, match=f"{file} has no column 'topic'. .*{hint}"):
        read(file, where={"topic": "a"})
    tabs = write(tmp_path, "d/news.tsv", NEWS.replace(",", "\t"))
    with pytest.raises(ValueError, match=rf'{tabs} has tabs: `sep: "\\t"`\?'):
        read(str(tmp_path / "d"), sep=",", transform=fields)
    with pytest.raises(ValueError) as plain:
        read(write(tmp_path, "one.csv", "text\nonly\nthis\none\n"), transform=fields)
    assert str(plain.value) == "transform 'text' uses column 1, but there is 1 column, counted from 0"


@pytest.mark.parametrize("read", [TabularDataset.from_path, TabularDataset.autogen])
def test_fields_called_like_columns_of_the_file_do_not_read_others(tmp_path: Path, read: Any) -> None:
    file = write(tmp_path, "news.tsv", "text\ttopic\tid\none\ta\t1\ntwo\tb\t2\nsix\ta\t3\n")
    swapped = {"topic": LabelField(), "text": TextField()}
    with pytest.raises(ValueError) as refused:
        read(file, transform=swapped)
    assert str(refused.value) == (
        "transform: the n-th field takes the n-th column, so 'topic' would read the column 'text', 'text' would read the "
        "column 'topic'. Say the columns: `topic: {field: …, columns: topic}`"
    )
    with pytest.raises(ValueError, match="'id' would read the column 'topic'"):
        read(file, transform={"text": TextField(), "id": LabelField()})
    said = {name: {"field": field, "columns": name} for name, field in swapped.items()}
    assert set(read(file, transform=said).topic.vocab) == {"a", "b"}
    # The rule stays as it is for names of one's own, for chosen columns, and where the columns have no names.
    read(file, transform={"words": TextField(), "text": LabelField()})
    read(file, columns=["topic", "text"], transform=swapped)
    read(file, header=None, transform=swapped)


def test_data_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "shipping_data/__init__.py", "raise SystemExit('imported')")
    write(tmp_path, "shipping_data/data/x.csv", "x\n1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert TabularDataset.from_path("package:shipping_data/data/x.csv").raw.tolist() == [[1]]
    with pytest.raises(ConfigError, match="another version of the package"):
        TabularDataset.from_path("package:shipping_data/y.csv")
    with pytest.raises(ConfigError, match="no installed package 'not_there'"):
        TabularDataset.from_path("package:not_there/y.csv")


def test_autogen_draws_the_same_rows_again(tmp_path: Path) -> None:
    file = write(tmp_path, "data.csv", "x\n" + "\n".join(map(str, range(101))) + "\n")
    data = TabularDataset.autogen(file)
    assert [len(data.train), len(data.val), len(data.test)] == [64, 16, 21]
    assert sorted(data.raw[:, 0].tolist()) == list(range(101))
    assert TabularDataset.autogen(file, seed=0).raw.tolist() == data.raw.tolist()
    other = TabularDataset.autogen(file, seed=1)
    assert other.test.raw.tolist() != data.test.raw.tolist()
    assert len(TabularDataset.autogen(file, val_ratio=0, test_ratio=0.5).val) == 0
    given_test = TabularDataset.autogen(file, test_path=file, val_ratio=0.1)
    assert [len(given_test.train), len(given_test.val), len(given_test.test)] == [90, 11, 101]
    with pytest.raises(ValueError, match=r"val_ratio must be in \[0, 1\), got 1.5"):
        TabularDataset.autogen(file, val_ratio=1.5)


def test_a_subclass_may_read_files_of_its_own(tmp_path: Path) -> None:
    class Lines(TabularDataset):
        @classmethod
        def _load_file(
            cls, path: str, sep: Any = "\t", header: Any = None, columns: Any = None, encoding: Any = "utf-8"
        ) -> Any:
            return [(line,) for line in Path(path).read_text().splitlines()], None

    data = Lines.from_path(write(tmp_path, "x", "one\ntwo\n"))
    assert isinstance(data, Lines)
    assert data.raw.tolist() == [["one"], ["two"]]


def test_the_base_says_what_is_missing() -> None:
    with pytest.raises(TypeError, match="Dataset must have a property `train`"):
        Dataset().train


# --- saved ---


def test_a_saved_dataset_loads_without_its_files(tmp_path: Path) -> None:
    import flambe

    file = tmp_path / "data.csv"
    file.write_text("text,label\na film,1\nno film,0\n")
    transform = {"text": TextField(), "y": {"field": LabelField(), "columns": "label"}}
    data = TabularDataset.from_path(str(file), sep=",", transform=transform)
    flambe.save(data, str(tmp_path / "saved"))
    file.unlink()
    again = flambe.load(str(tmp_path / "saved"))
    assert lists(again) == lists(data)
    assert again.raw.tolist() == data.raw.tolist()
    assert again.y.vocab == data.y.vocab
    assert again.text.process("film what").tolist() == [3, 1]
    assert flambe.load(str(tmp_path / "saved" / "text")).vocab == data.text.vocab
    assert not again.train.packed()[0].values.flags.owndata


def test_a_dataset_made_in_python_saves_its_rows_as_state(tmp_path: Path) -> None:
    import flambe

    flambe.save(made(), str(tmp_path / "saved"))
    assert lists(flambe.load(str(tmp_path / "saved"))) == lists(made())
    assert "worst" not in (tmp_path / "saved" / "manifest.json").read_text()


class Counted(TabularDataset):
    """A dataset whose constructor does something of its own."""

    def __init__(self, rows: int) -> None:
        super().__init__([(str(row),) for row in range(rows)], transform={"text": TextField()})
        self.rows = rows


def test_a_subclass_with_its_own_constructor_is_built_again(tmp_path: Path) -> None:
    import flambe

    flambe.save(Counted(3), str(tmp_path / "saved"))
    again = flambe.load(str(tmp_path / "saved"))
    assert again.rows == 3
    assert lists(again) == lists(Counted(3))


def test_what_cannot_be_saved_is_named() -> None:
    with pytest.raises(FlambeError, match="column 1 of the dataset holds Tensor and cannot be saved"):
        TabularDataset([("a", torch.zeros(2))])._state({}, "", {})
