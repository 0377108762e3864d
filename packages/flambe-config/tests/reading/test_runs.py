"""Tables of runs: rows, columns, maps, groups; and the chain that mlxp's users write."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from run_writer import unit_of, write_run

import flambe
from flambe.errors import ConfigError, ProvenanceError, UsageError
from flambe.reading.aggregates import count, last, max, mean, min, std
from flambe.reading.column_map import InvalidMapError
from flambe.reading.grouped import GroupedRuns, NoSuchGroup
from flambe.reading.row import NoSuchColumn
from flambe.reading.runs import Runs

ODD = {
    "METRIC": "METRIC",
    "a-b": "ARTIFACT",
    "empty": {},
    "maps": [{"x": 1}, {"x": 2}],
    "0": {"1": "$HOME {not}"},
    "none": None,
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two sizes of a model, three rates, two seeds; the loss falls with the rate, and the best rate differs by size."""
    index = 0
    for units in (10, 20):
        for lr in (0.1, 0.01, 0.001):
            for seed in (0, 1):
                best = 0.01 if units == 10 else 0.001
                final = abs(math.log10(lr / best)) + 0.1 * seed + 0.5
                steps = 3 + seed
                train = [{"step": step, "loss": final + steps - 1 - step} for step in range(steps)]
                config = {"model": {"num_units": units}, "optimizer": {"lr": lr}, "seed": seed, "odd": ODD}
                write_run(tmp_path, config, {"train": train, "test": [{"loss": final * 2}]}, index=index)
                index += 1
    return tmp_path


@pytest.fixture
def runs(home: Path) -> Runs:
    return flambe.Reader(home, index=None).filter()


def test_rows_columns_and_slices(runs: Runs) -> None:
    assert len(runs) == 12
    assert runs[0]["config.optimizer.lr"] == 0.1
    assert runs["config.seed"][:4] == [0, 1, 0, 1]
    assert isinstance(runs[2:4], Runs)
    assert runs[2:4]["config.optimizer.lr"] == [0.01, 0.01]
    assert runs[0]["train.loss"] == [3.5, 2.5, 1.5]
    assert runs[0]["info.status"] == "COMPLETE"
    assert runs[0]["info.logger.log_id"] == 0
    assert runs[0]["info.age"] > 0
    assert {"config.seed", "info.index", "train.loss", "test.loss"} <= set(runs.keys())
    assert next(reversed(runs))["index"] == 11


def test_a_column_that_nothing_has_is_named_with_the_nearest(runs: Runs) -> None:
    with pytest.raises(NoSuchColumn, match=r"there is no column 'train\.los'\. Did you mean 'train\.loss'\?"):
        runs["train.los"]
    with pytest.raises(KeyError, match=r"Did you mean 'config\.optimizer\.lr'\?"):
        runs[0]["lr"]
    with pytest.raises(KeyError, match=r"there is no column 'nowhere'\. .* `\.get\('nowhere'\)` is None"):
        runs[0]["nowhere"]
    assert runs[0].get("nowhere") is None


def test_values_that_look_like_markers_are_values(home: Path, runs: Runs) -> None:
    row = runs[0]
    assert row["config.odd.METRIC"] == "METRIC"
    assert row["config.odd.a-b"] == "ARTIFACT"
    assert row["config.odd.empty"] == {}
    assert row["config.odd.maps"] == [{"x": 1}, {"x": 2}]
    assert row["config.odd.0.1"] == "$HOME {not}"
    assert row["config.odd.none"] is None
    reader = flambe.Reader(home, index=None)
    for query in (
        "config.odd.METRIC == 'METRIC'", "`config.odd.a-b` == 'ARTIFACT'", "config.odd.0.1 == '$HOME {not}'", "config.odd.none is null",
        "has(config.odd.empty)", "has(config.odd.maps)", "config.odd.none == null",
    ):  # fmt: skip
        assert len(reader.filter(query)) == 12, query


def test_asking(home: Path) -> None:
    reader = flambe.Reader(home, index=None)
    query = "info.status == 'COMPLETE' & config.optimizer.lr <= 0.01 & min(train.loss) < 0.65"
    assert reader.filter(query)["index"] == [2, 3, 10, 11]
    with pytest.warns(UserWarning, match="unknown column 'config.nowhere'"):
        assert reader.filter(query_string="config.nowhere == 1") == Runs()
    assert len(reader.filter("~config.nowhere == 1")) == 12
    assert len(reader.filter(query, result_format="datadict")) == 4
    assert reader.filter("config.seed == 1", units=True)["unit"] == ["main/0"] * 6
    with pytest.raises(ConfigError, match=r"^query:1:6: unexpected 'lr'"):
        reader.filter("conf lr == 1")
    with pytest.raises(
        UsageError, match="result_format is 'panda'; expected 'runs' or 'pandas'. Did you mean 'pandas'"
    ):
        reader.filter(result_format="panda")


def test_fields(home: Path) -> None:
    fields = flambe.Reader(home, index=None).fields
    assert fields["config.optimizer.lr"] == "float"
    assert fields["config.model.num_units"] == "int"
    assert fields["config.odd.maps"] == "list"
    assert fields["train.loss"] == "metric"
    assert "info.time.started" in flambe.Reader(home, index=None).searchable


def test_pandas(home: Path) -> None:
    frame = flambe.Reader(home, index=None).filter("config.seed == 0", result_format="pandas")
    assert list(frame["config.optimizer.lr"]) == [0.1, 0.01, 0.001] * 2
    assert frame["train.loss"][0] == [3.5, 2.5, 1.5]
    assert set(flambe.Reader(home, index=None).filter().toPandas()["train.loss"]) == {"METRIC"}


def test_diff_tells_columns_that_differ_once_each(runs: Runs, tmp_path: Path) -> None:
    assert runs.diff() == ["config.model.num_units", "config.optimizer.lr", "config.seed"]
    assert runs[:2].diff() == ["config.seed"]
    assert runs[:1].diff() == []
    write_run(tmp_path, {"seed": 0, "more": 1}, index=20)
    rows = flambe.Reader(tmp_path, index=None).filter("index in [0, 20]")
    assert rows.diff() == ["config.model.num_units", "config.optimizer.lr", *[f"config.odd.{name}" for name in (
        "METRIC", "a-b", "empty", "maps", "0.1", "none")], "config.more"]  # fmt: skip


def test_maps(runs: Runs) -> None:
    def final(values: list[float]) -> float:
        return values[-1]

    assert runs.map((final, "train.loss")).keys() == ["ffinal.train.loss"]
    assert runs[:2].map((final, ("train.loss", "test.loss"), ("a", "b"))) == Runs(
        [{"a": 1.5, "b": 3.0}, {"a": pytest.approx(1.6), "b": 3.2}]
    )
    doubled = runs[:3].transform((lambda cells: [2 * cell for cell in cells], "config.seed", "twice"))
    assert doubled["twice"] == [0, 2, 0]
    assert runs.aggregate((len, "config.seed", "n")) == Runs([{"n": 12}])
    both = runs.aggregate([(len, "config.seed", "n"), (mean, "config.seed")])
    assert dict(both[0]) == {"n": 12, "fmean.config.seed": 0.5}
    columns = ("config.optimizer.lr", "config.seed")
    assert runs[:2].apply((lambda lr, seed: lr + seed, columns, "s"), "rowwise")["s"] == [0.1, 1.1]
    assert runs[:2].apply((lambda lr, seed: (seed, lr), columns, ("x", "y")), kind="rowwise")["x"] == [0, 1]
    assert runs[:2].apply(
        (lambda lrs, seeds: [*map(sum, zip(lrs, seeds, strict=True))], columns), map_type="Generic"
    ).keys() == ["flambda.config.optimizer.lr_config.seed"]
    assert runs.apply((lambda lrs, seeds: (sum(seeds), len(lrs)), columns, ("s", "n")), reduce=True)[0] == {
        "s": 6,
        "n": 12,
    }


def test_a_result_as_long_as_the_rows_does_not_spread_over_them(home: Path) -> None:
    """mlxp guesses from the length whether a result reduces; here it is said."""
    three = flambe.Reader(home, index=None).filter("index in [0, 2, 4]")
    assert [len(values) for values in three["train.loss"]] == [3, 3, 3]
    assert dict(three.aggregate((mean, "train.loss"))[0]) == {
        "fmean.train.loss": pytest.approx([3 + 1, 2 + 1, 1 + 1], abs=1.01)
    }
    with pytest.raises(
        InvalidMapError, match="returned 4 values; expected 3, one for each row. To reduce rows to one, use aggregate"
    ):
        three.transform((lambda cells: [1, 2, 3, 4], "config.seed"))
    with pytest.raises(InvalidMapError, match="returned 1.0; expected 3"):
        three.transform((lambda cells: 1.0, "config.seed"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("train.loss", "'train.loss' is no map"),
        ([], "there is no map"),
        ((mean,), "is no map"),
        ((mean, 3), "3 is no column"),
        ((mean, ()), "names no column"),
        ((mean, ("a", "b"), "c"), "of 2 columns has 1 names"),
    ],
)
def test_what_is_no_map(runs: Runs, given: Any, message: str) -> None:
    with pytest.raises(InvalidMapError, match=message):
        runs.aggregate(given)


def test_filtering_by_a_map(runs: Runs) -> None:
    kept = runs.filter((lambda losses: [values[-1] == min([v[-1] for v in losses]) for values in losses], "train.loss"))
    assert kept["index"] == [2, 10]
    per = runs.filter(
        (lambda s: [cell == s[0] for cell in s], "config.optimizer.lr"), bygroups="config.model.num_units"
    )
    assert per["index"] == [0, 1, 6, 7]
    for wrong, message in (
        ((lambda s: True, "config.seed"), "returned True; expected 12"),
        ((lambda s: [1] * 12, "config.seed"), "returned 1; expected True or False"),
        ([(len, "a"), (len, "b")], "takes one map"),
    ):
        with pytest.raises(InvalidMapError, match=message):
            runs.filter(wrong)


def test_sorting_takes_what_is_missing_last() -> None:
    rows = Runs(
        [
            {"n": 1, "a": 3},
            {"n": 2, "a": None},
            {"n": 3, "a": "x"},
            {"n": 4},
            {"n": 5, "a": 1.5},
            {"n": 6, "a": math.nan},
        ]
    )
    assert rows.sort("a")["n"] == [5, 1, 6, 3, 2, 4]
    assert rows.sort("a", ascending=False)["n"] == [3, 6, 1, 5, 2, 4]
    assert rows.sort(["a", "n"])["n"] == [5, 1, 6, 3, 2, 4]
    assert Runs([{"a": 1, "b": 2}, {"a": 0, "b": 9}, {"a": 1, "b": 1}]).sort(["a", "b"])["b"] == [9, 1, 2]


def test_merging_needs_as_many_rows() -> None:
    merged = Runs([{"a": 1}, {"a": 2}]).merge(Runs([{"b": 3}, {"b": 4}]))
    assert [dict(row) for row in merged] == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]
    with pytest.raises(InvalidMapError, match="2 rows cannot be merged with 1"):
        Runs([{"a": 1}, {"a": 2}]).merge(Runs([{"b": 3}]))


def test_groups_keep_their_order_and_any_label() -> None:
    rows = [
        {"n": 0, "k": 1e-3}, {"n": 1, "k": None}, {"n": 2, "k": [1, 2]}, {"n": 3}, {"n": 4, "k": [1, 2]}, {"n": 5, "k": True},
        {"n": 6, "k": 1}, {"n": 7, "k": 1e-3},
    ]  # fmt: skip
    groups = Runs(rows).groupby("k")
    assert list(groups) == [(1e-3,), (None,), ([1, 2],), (True,), (1,)]
    assert [group["n"] for group in groups.values()] == [[0, 7], [1, 3], [2, 4], [5], [6]]
    assert groups[([1, 2],)]["n"] == [2, 4]
    assert groups[None]["n"] == [1, 3]
    assert ([1, 2],) in groups
    assert ([2, 1],) not in groups
    with pytest.raises(NoSuchGroup, match=r"there is no group \(7,\). There are \(0\.001,\)"):
        groups[7]
    again = groups.groupby("n")
    assert len(again) == 8
    assert again.group_keys == ("k", "n")
    assert len(Runs(rows).groupby([])) == 1
    with pytest.raises(NoSuchColumn):
        Runs(rows).groupby("nowhere")
    assert dict(Runs().groupby("k")) == {}
    assert groups.ungroup()["n"] == [0, 7, 1, 3, 2, 4, 5, 6]


def test_a_column_that_a_whole_group_lacks_is_empty_there(tmp_path: Path) -> None:
    for index, lr in enumerate((0.1, 2.0)):
        metrics = {} if lr == 2.0 else {"main": [{"loss": 3.0}, {"loss": 1.0}]}
        write_run(tmp_path, {"lr": lr}, metrics, index=index)
    groups = flambe.Reader(tmp_path, index=None).filter().groupby("config.lr")
    for column, first in (("main.loss", [3.0, 1.0]), ("last(main.loss)", 1.0)):
        rows = groups.aggregate((mean, column, "m"), ungroup=True)
        assert [dict(row) for row in rows] == [{"config.lr": 0.1, "m": first}, {"config.lr": 2.0, "m": None}]
    raised = groups[2.0]
    assert raised["main.loss"] == raised.sort("index")["main.loss"] == raised[:1]["main.loss"] == [None]
    with pytest.raises(NoSuchColumn, match=r"there is no column 'nowhere'\. `keys\(\)` tells all "):
        groups.aggregate((mean, "nowhere"))


def test_the_best_rate_of_each_model_and_its_test_loss(runs: Runs) -> None:
    """The chain of mlxp's tutorial: group, average, keep the best rate of each model, select these, average their test loss."""
    sizes, rates = ["config.model.num_units"], ["config.optimizer.lr"]
    grouped = runs.groupby(sizes + rates)
    assert list(grouped)[:2] == [(10, 0.1), (10, 0.01)]
    averaged = grouped.aggregate((mean, "train.loss"))

    def best(losses: list[list[float]]) -> list[bool]:
        finals = [loss[-1] for loss in losses]
        return [final == sorted(finals)[0] for final in finals]

    chosen = averaged.filter((best, "fmean.train.loss"), bygroups=sizes)
    assert isinstance(chosen, GroupedRuns)
    assert list(chosen) == [(10, 0.01), (20, 0.001)]
    tested = grouped.select(list(chosen.keys())).aggregate(
        (lambda cells: mean(last(cells)), "test.loss", "loss"), ungroup=True
    )
    assert [dict(row) for row in tested] == [
        {"config.model.num_units": 10, "config.optimizer.lr": 0.01, "loss": pytest.approx(1.1)},
        {"config.model.num_units": 20, "config.optimizer.lr": 0.001, "loss": pytest.approx(1.1)},
    ]


def test_aggregates_over_unequal_lengths() -> None:
    series = [[1.0, 2.0, 3.0], [3.0, 4.0], None]
    assert mean(series) == [2.0, 3.0]
    assert mean(series, pad=True) == [2.0, 3.0, 3.0]
    assert std(series) == [pytest.approx(math.sqrt(2)), pytest.approx(math.sqrt(2))]
    assert std(series, pad=True)[2] is None
    assert (min(series), max(series)) == ([1.0, 2.0], [3.0, 4.0])
    assert (mean([1, 3, None]), std([1, 2, 3]), min([2, 1]), max([2, math.nan])) == (2.0, 1.0, 1, 2)
    assert (std([]), std([0.5]), std([0.5, None])) == (None, None, None)
    assert (mean([]), mean([None]), mean([[], [1]])) == (None, None, [])
    assert (last(series), count(series)) == ([3.0, 4.0, None], 2)
    assert math.isnan(mean([math.inf, -math.inf]))


def test_columns_of_one_file_are_aligned(tmp_path: Path) -> None:
    lines = [{"a": 1}, {"b": 2, "_t": 0.1}, {"a": "NaN", "b": "Infinity"}]
    row = flambe.Reader(write_run(tmp_path, {}, {"val": lines}), index=None).filter()[0]
    assert row["val.b"] == [None, 2, math.inf]
    assert row["val.a"][:2] == [1, None]
    assert math.isnan(row["val.a"][2])
    assert "val._t" not in row


def test_artifacts_are_found_and_loaded_as_what_they_are(tmp_path: Path) -> None:
    from flambe.record.logger import Logger

    path = write_run(tmp_path, {})
    logger = Logger(unit_of(path))
    logger.log_artifact({"a": [1, 2]}, "sub/x.json", "json")
    logger.log_artifact(1, "sub/deep.er/y.json", "json")
    logger.log_artifact({"b": 1}, "last_ckpt.pkl", "pickle", allow_pickle=True)
    (unit_of(path) / "artifacts" / "note.txt").write_text("hi")
    (unit_of(path) / "artifacts" / "raw.bin").write_bytes(b"\0")
    reader = flambe.Reader(tmp_path, index=None)
    row = reader.filter("has(artifact.json.sub/x.json) & artifact.file.note.txt == 2")[0]
    assert row["artifact.json.sub/x.json"].load() == {"a": [1, 2]}
    assert row.artifact("note.txt").load() == "hi"
    assert row.artifact("raw.bin").load() == b"\0"
    for column in ("artifact.json.sub.", "artifact.json.sub", "artifact.json.sub/", "artifact.json..sub"):
        assert list(row[column]) == ["deep.er/y.json", "x.json"]
        assert row[column]["x.json"].load() == {"a": [1, 2]}
    assert list(row["artifact.json..sub.deep.er"]) == ["y.json"]
    assert list(row["artifact.json."]) == ["sub/deep.er/y.json", "sub/x.json"]
    pickled = row["artifact.pickle."]["last_ckpt.pkl"]
    with pytest.raises(ProvenanceError, match="is a pickle, which runs code when it is read"):
        pickled.load()
    assert pickled.load(allow_pickle=True) == {"b": 1}
    with pytest.raises(NoSuchColumn):
        row.artifact("nothing")
    for column in ("artifact.json.su", "artifact.json.sub.x", "artifact.jso", "artifact.json.sub.x.json"):
        with pytest.raises(NoSuchColumn):
            row[column]
    assert reader.fields["artifact.pickle.last_ckpt.pkl"] == "artifact"


def test_sql(home: Path) -> None:
    reader = flambe.Reader(home, index=None)
    assert reader.sql("SELECT count(*) AS n FROM runs WHERE status = 'COMPLETE'") == [{"n": 12}]
    rows = reader.sql(
        "SELECT c.value AS lr, avg(m.last) AS loss FROM metrics m JOIN config c USING (run) "
        "WHERE m.log = 'train' AND m.key = 'loss' AND c.name = 'optimizer.lr' GROUP BY lr ORDER BY loss DESC LIMIT 1"
    )
    assert rows == [{"lr": 0.1, "loss": pytest.approx(2.05)}]
    assert reader.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3) SELECT sum(i) AS s FROM n"
    ) == [{"s": 6}]
    for text in (
        "DROP TABLE runs",
        "ATTACH 'x.db' AS x",
        "PRAGMA query_only = OFF",
        "SELECT load_extension('x')",
        "SELECT 1; SELECT 2",
        "",
    ):
        if text:
            with pytest.raises(ConfigError, match="SQL: "):
                reader.sql(text)
    assert not list(Path().glob("x.db"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('SELECT run, "config.optimizer.lr" FROM runs', "no such column: config.optimizer.lr. It is a row of config: SELECT run, value FROM config WHERE name = 'optimizer.lr'; what was searched is in params too"),
        ("SELECT run, config.optimizer.lr FROM runs", "WHERE name = 'optimizer.lr'"),
        ("SELECT run, config.model.encoder.size FROM runs", "WHERE name = 'model.encoder.size'"),
        ("SELECT info.host.name FROM runs", "SELECT run, value FROM info WHERE name = 'host.name'"),
        ('SELECT "train.loss" FROM runs', "WHERE log = 'train' AND key = 'loss'"),
        ("SELECT m.lst FROM metrics m", "no such column: m.lst. Did you mean 'last'?"),
        ('SELECT run FROM runs WHERE status = "COMPLETE"', "a text is in single ones: 'COMPLETE'"),
    ],
)  # fmt: skip
def test_sql_takes_no_name_for_a_text_and_says_where_it_is(home: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        flambe.Reader(home, index=None).sql(text)
    assert message in str(caught.value)


def test_names_in_quotes_of_every_kind_are_columns(home: Path) -> None:
    reader = flambe.Reader(home, index=None)
    text = (
        """SELECT "index" AS "the ""one""\", [name] AS n, '"x"' AS t FROM "runs" -- "no name"\n"""
        """WHERE "status" = 'COMPLETE' /* "nor this" */ ORDER BY "index" LIMIT 1"""
    )
    assert reader.sql(text) == [{'the "one"': 0, "n": "first", "t": '"x"'}]


def test_a_folder_without_runs_is_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=rf"^nothing is recorded in {tmp_path}$"):
        assert len(flambe.Reader(tmp_path, index=None).filter()) == 0
    (tmp_path / "train.py").write_text("")
    with pytest.raises(ConfigError, match=r"train\.py is no folder; expected a run directory, or a folder of runs"):
        flambe.Reader(tmp_path / "train.py")


@pytest.mark.parametrize(
    ("query", "units", "said"),
    [
        ("config.optimiser.lr < 3", False, "query:1:1: unknown column 'config.optimiser.lr'. Did you mean 'config.optimizer.lr'?"),
        ("config.seed == 0 and status == COMPLETE", False, "query:1:32: unknown column 'COMPLETE'. Quote a text: 'COMPLETE'."),
        ("min(train.los) < 3", True, "query:1:5: unknown column 'train.los'. Did you mean 'train.loss'?"),
    ],
)  # fmt: skip
def test_nothing_found_by_a_column_that_no_run_has_is_told(home: Path, query: str, units: bool, said: str) -> None:
    with pytest.warns(UserWarning, match=rf"^{re.escape(said)}$"):
        assert len(flambe.Reader(home, index=None).filter(query, units=units)) == 0


@pytest.mark.parametrize(
    "query", ["config.seed > 9", "info.age < 0s", "has(config.sed)", "not (config.sed > 9)", "name == 'x'"]
)
@pytest.mark.parametrize("units", [False, True])
def test_no_other_answer_is_warned_of(home: Path, query: str, units: bool, recwarn: pytest.WarningsRecorder) -> None:
    flambe.Reader(home, index=None).filter(query, units=units)
    assert not recwarn.list


def test_a_table_shows_itself(runs: Runs) -> None:
    assert repr(runs).startswith(
        "12 runs\nname   index  status    config.model.num_units  config.optimizer.lr  config.seed\n"
    )
    assert "… 2 more" in repr(runs)
    assert repr(Runs()) == "0 runs"
    assert repr(runs[:1]).startswith("1 run\n")
    assert "2 groups by config.seed: {(0,): 6 runs, (1,): 6 runs}" in repr(runs.groupby("config.seed"))
    assert "exp.0" in repr(runs[0])
