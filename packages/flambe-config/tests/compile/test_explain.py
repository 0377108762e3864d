"""--explain: where a value was written, and the chain of what set it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

CLI = "flambe.compile.cli"


def _explain(kit: Any, key: str, *words: str, **more: Any) -> str:
    done = kit.command(CLI, "toy.yaml", *words, "--explain", key, **more)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_a_value_of_the_file(kit: Any) -> None:
    assert _explain(kit, "train.max_steps") == "train.max_steps = 10\ntoy.yaml:22:16: 10\n"
    assert _explain(kit, "name") == "name = toy\ntoy.yaml:3:7: toy\n"
    assert _explain(kit, "pipeline.model.encoder.n_layers.1") == (
        "pipeline.model.encoder.n_layers.1 = 3\ntoy.yaml:12:24: 3\n"
    )


def test_the_chain_of_overrides(kit: Any) -> None:
    words = ("train.max_steps=2", "model.encoder.rnn_type=lstm", "--train.max_steps", "3")
    assert _explain(kit, "train.max_steps", *words).splitlines() == [
        "train.max_steps = 3",
        "toy.yaml:22:16: 10",
        "override 'train.max_steps=2': 2",
        "override '--train.max_steps 3': 3",
    ]
    found = json.loads(_explain(kit, "train.max_steps", *words, "--format", "json"))
    assert found == {
        "key": "train.max_steps",
        "value": "3",
        "steps": [
            {"file": "toy.yaml", "line": 22, "column": 16, "value": "10"},
            {"override": "train.max_steps=2", "value": "2"},
            {"override": "--train.max_steps 3", "value": "3"},
        ],
    }


def test_an_override_of_what_is_around_a_value_counts(kit: Any) -> None:
    assert _explain(kit, "model.encoder.n_layers", "model.encoder=!Encoder {input_size: 1, n_layers: 9}") == (
        "model.encoder.n_layers = 9\n"
        "toy.yaml:12:17: !g [2, 3]\n"
        "override 'model.encoder=!Encoder {input_size: 1, n_layers: 9}': 9\n"
    )
    added = _explain(kit, "train.name", "+train.name=x")
    assert added == "train.name = x\noverride '+train.name=x': x\n"


def test_the_chain_of_parents_references_and_variables(
    kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", "/data")
    monkeypatch.setenv("MY_TOKEN", "hush")
    (tmp_path / "base.yaml").write_text("m: {rate: 1, size: '{m.rate}'}\nfolder: $PLACE/x\nkey: $MY_TOKEN\n")
    (tmp_path / "mid.yaml").write_text("__default__: base.yaml\nm: {rate: 2}\n")
    (tmp_path / "c.yaml").write_text("!Anything\n__default__: mid.yaml\nm: {rate: 3}\n")

    def said(*words: str) -> list[str]:
        done = kit.command(CLI, "c.yaml", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return str(done.stdout).splitlines()

    assert said("m.rate=4", "--explain", "m.rate") == [
        "m.rate = 4", "base.yaml:1:11: 1", "mid.yaml:2:11: 2", "c.yaml:3:11: 3", "override 'm.rate=4': 4",
    ]  # fmt: skip
    assert said("--explain", "m.size") == ["m.size = 3", 'base.yaml:1:20: "{m.rate}"', "c.yaml:3:11: m.rate is 3"]
    assert said("m.rate=4", "--explain", "m.size")[2:] == ["override 'm.rate=4': m.rate is 4"]
    assert said("--explain", "folder") == [
        "folder = /data/x",
        "base.yaml:2:9: $PLACE/x",
        "base.yaml:2:9: $PLACE is '/data'",
    ]
    assert "hush" not in "".join(said("--explain", "key"))
    assert said("--explain", "key")[-1] == "base.yaml:3:6: $MY_TOKEN is read when it is needed"


def test_what_was_taken_away_says_so(kit: Any) -> None:
    assert _explain(kit, "train.max_steps", "~train.max_steps") == (
        "train.max_steps is not written\ntoy.yaml:22:16: 10\noverride '~train.max_steps': taken away\n"
    )


def test_a_link_on_the_way_is_followed(kit: Any) -> None:
    assert _explain(kit, "train.model.encoder.rnn_type").splitlines() == [
        "train.model.encoder.rnn_type = gru",
        "toy.yaml:18:12: train.model is a link to model",
        "toy.yaml:13:17: gru",
    ]


def test_an_alias_on_the_way_is_followed(kit: Any) -> None:
    text = "!Experiment\npipeline:\n  a: !Anything\n    x: &both\n      p: 1\n    y: *both\n"
    done = kit.command(CLI, "-", "--explain", "a.y.p", stdin=text)
    assert done.stdout.splitlines() == [
        "a.y.p = 1",
        "<stdin>:6:8: a.y is the alias *both",
        "<stdin>:5:10: 1",
    ]


def test_a_component_is_shown_whole(kit: Any) -> None:
    assert _explain(kit, "train.optimizer") == (
        "train.optimizer: !toy.Sgd\n  params: !@ train[model].parameters\n  lr: 1e-3\ntoy.yaml:19:16: !toy.Sgd …\n"
    )


def test_a_default_is_found_in_the_source(kit: Any) -> None:
    first, second = _explain(kit, "model.encoder.dropout").splitlines()
    assert first == "model.encoder.dropout is not written"
    parts = Path(kit.toys, "flambe/toys/parts.py")
    line = 1 + next(i for i, text in enumerate(parts.read_text().splitlines()) if "dropout: float = 0" in text)
    assert second == f"{parts}:{line}:9: the default of Encoder is 0"


@pytest.mark.parametrize(
    ("key", "default"),
    [("save_path", "flambe-output"), ("seed", "0"), ("debug", "false"), ("search", "nothing"), ("ordering", "step")],
)  # fmt: skip
def test_a_parameter_that_is_left_out_has_its_default(kit: Any, key: str, default: str) -> None:
    said = kit.command(CLI, "-", "--explain", key, stdin="!Experiment\npipeline:\n  a: !Anything\n").stdout
    assert said == f"{key} is not written\n<stdin>:1:1: the default of !Experiment is {default}\n"


def test_a_key_that_is_not_there_names_the_nearest(kit: Any) -> None:
    for key, hint in [
        ("train.max_step", "Did you mean 'train.max_steps'?"),
        ("model.n_layers", "Did you mean 'model.encoder.n_layers'?"),
        ("nothing.at.all", None),
    ]:
        done = kit.command(CLI, "toy.yaml", "--explain", key)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr == f"flambe-compile: error: there is no value called {key!r}{f'. {hint}' if hint else ''}\n"
