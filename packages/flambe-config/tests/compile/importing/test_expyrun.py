"""Files of expyrun: they mean what expyrun made of them, or a note says where not."""

from __future__ import annotations

from typing import Any

import pytest

from flambe.errors import ConfigError

RUN = "__run__:\n  __main__: main:main\n  __name__: first/{model.name}-{training.lr}\n  __output_dir__: $OUT\n"
SEED_EXAMPLE = {
    "data.yml": "data:\n    location: $DATA_FOLDER\n    train_size: 0.7\n",
    "experiments/first.yml": f"""\
__default__: ../data.yml

{RUN}
seed: 666

model:
    name: MyModel

training:
    seed: "{{seed}}"  # Have to add "" when starting with {{ char
    lr: 0.001
    batch_size: 10
""",
}


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUT", "runs")
    monkeypatch.setenv("DATA_FOLDER", "/data")
    monkeypatch.setenv("NAME", "n")


def test_the_files_of_the_manual_stay_as_they_are(project: Any) -> None:
    translation = project.translate("expyrun", SEED_EXAMPLE)
    assert {path: one.text for path, one in translation.files.items()} == SEED_EXAMPLE
    assert translation.notes == []
    assert project.config("experiments/first.yml") == {
        "data": {"location": "/data", "train_size": 0.7},
        "seed": 666,
        "model": {"name": "MyModel"},
        "training": {"seed": 666, "lr": 0.001, "batch_size": 10},
    }


# What expyrun 0.2.1 made of each value (PyYAML's scalars, then its own texts), and the lines of notes.
VALUES: list[tuple[str, Any, bool]] = [
    ("yes", True, True),
    ("012", 10, True),
    ("1:30", 90, True),
    ("0o17", 15, True),
    ("1_000", 1000, True),
    ("2020-01-01", "2020-01-01", True),
    ("1.0", 1.0, False),
    ("no_word", "no_word", False),
    ("'yes'", "yes", False),
    ("'x{seed}'", "x3", False),
    ("'{seed}'", 3, False),
    ("$NAME", "n", False),
    ("'{seed0}'", "{seed0}", True),
    ("'{ seed }'", "{ seed }", False),
    ("'$V0'", "v0", False),
    ("'${V0}'", "${V0}", True),
    ("'$_V'", "$_V", True),
    ("'{{seed}}'", "{3}", False),
    ("'!P {seed} $NAME'", "{seed} $NAME", False),
    ("[yes, '{seed}', [on]]", [True, 3, [True]], True),
]


@pytest.mark.parametrize(("written", "expected", "noted"), VALUES)
def test_a_value_means_the_same(
    written: str, expected: Any, noted: bool, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("V", "v")
    run = RUN.replace("first/{model.name}-{training.lr}", "first")
    translation = project.translate("expyrun", {"a.yml": f"{run}seed: 3\nvalue: {written}\n"})
    assert project.config("a.yml")["value"] == expected
    assert bool(translation.notes) == noted, project.notes(translation)
    assert all(note.position.line == 6 for note in translation.notes)


def test_what_was_text_is_a_number(project: Any) -> None:
    run = RUN.replace("first/{model.name}-{training.lr}", "first")
    translation = project.translate("expyrun", {"a.yml": f"{run}lr: 1e-3\n"})
    assert project.config("a.yml") == {"lr": 0.001}
    assert project.notes(translation) == [
        "conf/a.yml:5:5: 1e-3 was text, and is a number here. Put it in quotes if it has to stay text."
    ]


def test_keys(project: Any) -> None:
    run = RUN.replace("first/{model.name}-{training.lr}", "first")
    text = f"{run}a.b: 1\na.c: 2\nm:\n  3: x\n  yes: y\ntwice: 1\ntwice: 2\nempty: {{}}\n"
    translation = project.translate("expyrun", {"a.yml": text})
    assert project.config("a.yml") == {
        "a": {"b": 1, "c": 2},
        "m": {"3": "x", "True": "y"},
        "twice": 2,
        "empty": {},
    }
    assert [note.split(": ", 1)[1] for note in project.notes(translation)] == [
        "twice is written twice; the last one counted. Nothing: the first is gone.",
        "empty is empty, which expyrun left out. Remove it.",
    ]


def test_parents_elsewhere_are_found_from_the_new_folder(project: Any) -> None:
    (project.root / "shared.yml").write_text("x: 1\n")
    run = RUN.replace("first/{model.name}-{training.lr}", "first")
    files = {"deep/a.yml": f"__default__: [../../shared.yml, .hidden.yml]\n{run}", "deep/.hidden.yml": "y: 1\n"}
    project.out = project.root / "other" / "place"
    project.translate("expyrun", files)
    (project.out / "deep" / ".hidden.yml").write_text("y: 1\n")
    assert project.config("deep/a.yml") == {"x": 1, "y": 1}


def test_a_default_inside_of_a_map_was_a_value(project: Any) -> None:
    translation = project.translate("expyrun", {"a.yml": "a:\n  __default__: 3\n"})
    assert not translation.is_complete
    assert "a.__default__ was a value like others, and names parents here" in project.notes(translation)[0]


def test_a_folder_without_configs_is_refused(project: Any) -> None:
    with pytest.raises(ConfigError, match=r"holds no \.yml or \.yaml file"):
        project.translate("expyrun", {"a.txt": "x"})
