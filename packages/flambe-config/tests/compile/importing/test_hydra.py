"""Hydra's folders: what ours are composed to is what Hydra composes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, reject, settings, strategies

from flambe.errors import ConfigError, ConfigFaults

Files = Mapping[str, str]

SMALL = {
    "config.yaml": """\
        defaults:
          - model: small
          - optimizer@opt: adam
          - _self_

        # the seed of everything
        seed: 1  # and this one is fixed
        model:
          dropout: 0.5
        name: ${model.kind}-${opt.lr}
        """,
    "model/small.yaml": "kind: rnn\nlayers: 2\ndropout: 0.1\nsize: ${.layers}\n",
    "model/big.yaml": "kind: rnn\nlayers: 20\ndropout: 0.3\n",
    "optimizer/adam.yaml": "lr: 1e-3\nbetas: [0.9, 0.999]\n",
}

# What Hydra 1.3 makes of each (checked by the slow test below): name → (files, config, what it is, Hydra's overrides).
FOLDERS: dict[str, tuple[Files, Any]] = {
    "groups and packages": (
        SMALL,
        {
            "model": {"kind": "rnn", "layers": 2, "dropout": 0.5, "size": 2},
            "opt": {"lr": 0.001, "betas": [0.9, 0.999]},
            "seed": 1,
            "name": "rnn-0.001",
        },
    ),
    "_self_ first": (
        {"config.yaml": "defaults: [_self_, db: a]\ndb: {x: own, y: 1}\n", "db/a.yaml": "x: a\n"},
        {"db": {"x": "a", "y": 1}},
    ),
    "_self_ between": (
        {
            "config.yaml": "defaults: [s: a, _self_, t: a]\ns: {x: own}\nt: {x: own, z: 1}\n",
            "s/a.yaml": "x: 1\n",
            "t/a.yaml": "x: 2\n",
        },
        {"s": {"x": "own"}, "t": {"x": 2, "z": 1}},
    ),
    "a base after a group": (
        {
            "config.yaml": "defaults: [a: x, base, c: z]\nc: {own: 1}\n",
            "a/x.yaml": "q: 1\n",
            "c/z.yaml": "own: 0\n",
            "base.yaml": "a: {q: 2}\nc: {own: -1, b: 1}\n",
        },
        {"a": {"q": 2}, "c": {"own": 1, "b": 1}},
    ),
    "a group below another, in both orders": (
        {
            "config.yaml": "defaults: [a/b: y, a: x, c: x, c/b: y]\n",
            "a/x.yaml": "b: {y: ax, w: 2}\n",
            "a/b/y.yaml": "y: 1\nw: 1\nv: 1\n",
            "c/x.yaml": "b: {y: cx, w: 2}\n",
            "c/b/y.yaml": "y: 1\nw: 1\nv: 1\n",
        },
        {"a": {"b": {"y": "ax", "w": 2, "v": 1}}, "c": {"b": {"y": 1, "w": 1, "v": 1}}},
    ),
    "packages of entries": (
        {
            "config.yaml": "defaults: [server: a]\n",
            "server/a.yaml": "defaults: [/db@x: m, /db@_global_.y: m, /db@_here_: m, /db: m]\nown: 1\n",
            "db/m.yaml": "m: ${.q}\nq: 1\n",
        },
        {
            "server": {"x": {"m": 1, "q": 1}, "m": 1, "q": 1, "db": {"m": 1, "q": 1}, "own": 1},
            "y": {"m": 1, "q": 1},
        },
    ),
    "packages of headers": (
        {
            "config.yaml": "defaults: [server: a, other: b]\n",
            "server/a.yaml": "# @package foo.bar\ndefaults: [db: r, b]\nx: own\n",
            "server/b.yaml": "in_b: 1\n",
            "server/db/r.yaml": "r: 1\n",
            "other/b.yaml": "\n# @package _global_\n# a comment\nz: 1\n",
        },
        {"foo": {"bar": {"db": {"r": 1}, "in_b": 1, "x": "own"}}, "z": 1},
    ),
    "lists, optional and null": (
        {
            "config.yaml": "defaults: [s: [a, b], optional t: none, u: null, optional v: a]\n",
            "s/a.yaml": "x: 1\ny: 1\n",
            "s/b.yaml": "x: 2\n",
            "v/a.yaml": "x: 3\n",
        },
        {"s": {"x": 2, "y": 1}, "v": {"x": 3}},
    ),
    "override of a choice": (
        {
            "config.yaml": "defaults: [s: a, e: x]\n",
            "s/a.yaml": "x: 1\nax: 1\n",
            "s/b.yaml": "x: 2\n",
            "e/x.yaml": "# @package _global_\ndefaults: [override /s: b]\nz: 1\n",
        },
        {"s": {"x": 2}, "z": 1},
    ),
    "a name made of a choice": (
        {
            "config.yaml": "defaults: [s: a, t: '${s}', both: '${s}_x']\n",
            "s/a.yaml": "x: 1\n",
            "t/a.yaml": "x: 2\n",
            "both/a_x.yaml": "x: 3\n",
        },
        {"s": {"x": 1}, "t": {"x": 2}, "both": {"x": 3}},
    ),
    "one file in two places": (
        {"config.yaml": "defaults: [s@a: x, s@b: x]\n", "s/x.yaml": "p: 1\nq: '${.p}'\n"},
        {"a": {"p": 1, "q": 1}, "b": {"p": 1, "q": 1}},
    ),
    "what wins over what": (
        {
            "config.yaml": "defaults: [base]\nl: [1]\nm: {}\nn: null\nk: {a: 1}\nj: {}\ni: []\n",
            "base.yaml": "l: [1, 2]\nm: {a: 1}\nn: {a: 1}\nk: 5\nj: 5\ni: 6\n",
        },
        {"l": [1], "m": {"a": 1}, "n": None, "k": {"a": 1}, "j": {}, "i": []},
    ),
    "scalars of YAML 1.1": (
        {
            "config.yaml": """\
            a: [yes, No, ON, off, y, n]
            b: [012, 0o17, 08, 0b11, 0x1F, 1_000, 1:30, 190:20:30]
            c: [1e-3, 1e5, .5, 5., 1.e3, .5e3, +.5, 1:30.5, 1_0.5]
            d: [.inf, -.INF, inf, ~, NULL, null]
            e: [2020-01-01, 1.2.3, .]
            f: {yes: 1, 3: 2, 'no': 3}
            """
        },
        {
            "a": [True, False, True, False, "y", "n"],
            "b": [10, "0o17", "08", 3, 31, 1000, 90, 685230],
            "c": [0.001, 100000.0, 0.5, 5.0, 1000.0, ".5e3", "+.5", 90.5, 10.5],
            "d": [float("inf"), float("-inf"), "inf", None, None, None],
            "e": ["2020-01-01", "1.2.3", "."],
            "f": {True: 1, 3: 2, "no": 3},
        },
    ),
    "references": (
        {
            "config.yaml": """\
            a:
              b: 1
              l: [1, "${.0}", "${..b}"]
              d: {e: "${..b}", f: "${...z}"}
            z: 7
            t: a${a.b}b ${a.b}
            m: ${a.d}
            i: ${a.l[1]}
            """
        },
        {
            "a": {"b": 1, "l": [1, 1, 1], "d": {"e": 1, "f": 7}},
            "z": 7,
            "t": "a1b 1",
            "m": {"e": 1, "f": 7},
            "i": 1,
        },
    ),
    "braces and dollars that are text": (
        {
            "config.yaml": r"""
            z: 7
            a: {b: 1}
            esc: 'x \${a.b}'
            text: '{a.b} $HOME $a'
            mixed: '{a.b} ${z} $HOME ${z}'
            braces: ['{${z}}', '{{${z}}', '${z}}', '{"a": ${z}}', '{ $ } ${z}']
            mark: '!P x'
            re: '^\d{2}$'
            """
        },
        {
            "z": 7,
            "a": {"b": 1},
            "esc": "x ${a.b}",
            "text": "{a.b} $HOME $a",
            "mixed": "{a.b} 7 $HOME 7",
            "braces": ["{7}", "{{7}", "7}", '{"a": 7}', "{ $ } 7"],
            "mark": "!P x",
            "re": r"^\d{2}$",
        },
    ),
    "variables": (
        {
            "config.yaml": """\
            a: ${oc.env:IMPORTED}/x
            b: ${oc.env:IMPORTED, /x/y z}
            c: "${oc.env:NOT_THERE,'q q'}"
            d: x${oc.env:NOT_THERE,''}
            e: ${oc.decode:${oc.env:NOT_THERE,5}}
            """
        },
        {"a": "some text/x", "b": "some text", "c": "q q", "d": "x", "e": 5},
    ),
    "anchors and merge keys": (
        {"config.yaml": "b: &b {x: 1, y: '${.x}'}\nc:\n  <<: *b\n  x: 3\nd: [*b]\n"},
        {"b": {"x": 1, "y": 1}, "c": {"x": 3, "y": 3}, "d": [{"x": 1, "y": 1}]},
    ),
    "nothing": ({"config.yaml": "# only a comment\n"}, {}),
    "an empty member": ({"config.yaml": "defaults: [m: a]\n", "m/a.yaml": ""}, {"m": {}}),
    "a value over a member": ({"config.yaml": "defaults: [m: a]\nm:\n", "m/a.yaml": "x: 1\n"}, {"m": None}),
    "a member over a value": (
        {"config.yaml": "defaults: [_self_, m: a]\nm: 5\n", "m/a.yaml": "x: 1\n"},
        {"m": {"x": 1}},
    ),
}


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPORTED", "some text")
    monkeypatch.delenv("NOT_THERE", raising=False)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_means_the_same(name: str, project: Any) -> None:
    files, expected = FOLDERS[name]
    translation = project.translate("hydra", files)
    assert translation.is_complete, project.notes(translation)
    assert project.config("config.yaml") == expected


def hydra_compose(folder: Path, name: str = "config", overrides: tuple[str, ...] = ()) -> Any:
    """Return what Hydra itself composes."""
    hydra = pytest.importorskip("hydra", reason="hydra-core is not installed: nothing to compare with")
    from omegaconf import OmegaConf

    with hydra.initialize_config_dir(str(folder), version_base="1.3"):
        return OmegaConf.to_container(hydra.compose(name, overrides=list(overrides)), resolve=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*_self_.*:UserWarning")
@pytest.mark.parametrize("name", FOLDERS)
def test_hydra_composes_what_is_expected(name: str, project: Any) -> None:
    files, expected = FOLDERS[name]
    project.translate("hydra", files)
    assert hydra_compose(project.conf) == expected


# Overrides ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("model.layers=5", "model.layers=5"),
        ("+model.new=[1,2]", "+model.new=[1,2]"),
        ("~model.kind", "~model.kind"),
        ("seed=null", "seed=null"),
        ("opt.betas=[0.5,0.6]", "opt.betas=[0.5,0.6]"),
    ],
)
def test_an_override_means_the_same(theirs: str, ours: str, project: Any) -> None:
    project.translate(
        "hydra", {**SMALL, "config.yaml": SMALL["config.yaml"].replace("name:", "title:").replace("kind}", "layers}")}
    )
    assert project.config("config.yaml", [ours]) == hydra_compose(project.conf, overrides=(theirs,))


def test_another_member_of_a_group_is_a_file(project: Any) -> None:
    project.translate("hydra", SMALL)
    assert project.config("config.yaml", ["model=@out/model/big.yaml"])["model"]["layers"] == 20


EXPERIMENTS = {
    "config.yaml": "defaults: [s: a, _self_]\nx: 1\ns: {y: own}\n",
    "s/a.yaml": "y: 1\nq: 1\n",
    "s/b.yaml": "z: 1\n",
    "experiment/other.yaml": "# @package _global_\ndefaults: [override /s: b]\nx: 2\ns: {y: mine}\n",
    "experiment/same.yaml": "# @package _global_\nx: 3\n",
}


def test_an_experiment_stands_alone(project: Any) -> None:
    project.translate("hydra", EXPERIMENTS)
    assert project.config("experiment/other.yaml") == {"x": 2, "s": {"z": 1, "y": "mine"}}
    assert project.config("experiment/same.yaml") == {"x": 3, "s": {"q": 1, "y": "own"}}


def test_an_experiment_is_run_as_the_config_is(project: Any) -> None:
    config = EXPERIMENTS["config.yaml"] + "hydra: {job: {name: mine}}\n"
    translation = project.translate("hydra", {**EXPERIMENTS, "config.yaml": config})
    assert "__name__: mine\n" in translation.files["config,s=b.yaml"].text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["other", "same"])
def test_an_experiment_is_what_hydra_adds(name: str, project: Any) -> None:
    project.translate("hydra", EXPERIMENTS)
    assert project.config(f"experiment/{name}.yaml") == hydra_compose(project.conf, overrides=(f"+experiment={name}",))


# What is written ----------------------------------------------------------------------------------------------------


def test_order_and_comments_stay(project: Any) -> None:
    translation = project.translate("hydra", SMALL)
    assert translation.files["config.yaml"].text == (
        "__run__:\n  __main__: main:main\n  __name__: main\n  __output_dir__: outputs\n  __code__: ..\n"
        "opt:\n  __default__: ./optimizer/adam.yaml\n\n"
        "# the seed of everything\nseed: 1  # and this one is fixed\n"
        "model:\n  __default__: ./model/small.yaml\n  dropout: 0.5\n"
        "name: '{model.kind}-{opt.lr}'\n".replace("'", '"')
    )
    assert translation.files["optimizer/adam.yaml"].text == "lr: 1e-3\nbetas: [0.9, 0.999]\n"
    assert set(translation.files) == set(SMALL)


def test_comments_inside_of_lists_stay(project: Any) -> None:
    text = "a:\n  - b: 1\n    # inner\n    c: 2  # side\n  # before the second\n  - d: |\n      # no comment\n      text\n# last\n"
    translation = project.translate("hydra", {"config.yaml": f"x: ${{y}}\ny: 1\n{text}"})
    assert translation.files["config.yaml"].text.endswith(text)


def test_a_sweep_is_a_file_of_its_own(project: Any) -> None:
    sweep = "hydra:\n  sweeper:\n    params:\n      seed: 1,2\n      m.x: range(1,4)\n      m.y: choice(a, b)\n      m.z: interval(0, 1)\n"
    project.translate("hydra", {"config.yaml": f"seed: 0\nm: {{x: 0, y: c, z: 0.5}}\n{sweep}"})
    assert project.config("config.yaml") == {"seed": 0, "m": {"x": 0, "y": "c", "z": 0.5}}
    assert (project.out / "config.sweep.yaml").read_text() == (
        "__default__: ./config.yaml\nseed: !g [1, 2]\n"
        "m:\n  x: !g [1, 2, 3]\n  y: !g [a, b]\n  z: !uniform [0, 1]\n"
    )  # fmt: skip


def test_the_settings_of_hydra(project: Any) -> None:
    files = {
        "config.yaml": """\
        defaults:
          - override hydra/launcher: joblib
        a: 1
        hydra:
          run: {dir: "results/${now:%Y}"}
          job: {name: mine}
          mode: MULTIRUN
        """
    }
    translation = project.translate("hydra", files)
    assert "__name__: mine\n  __output_dir__: results\n" in translation.files["config.yaml"].text
    assert project.notes(translation) == [
        "conf/config.yaml:2:5: hydra/launcher is left out. Run several at once with flambe tune, or on a cluster with flambe submit.",
        "conf/config.yaml:5:14: run directories are results/NAME/exp.0, exp.1, …, and have no date in their path."
        " flambe report ls shows when each one ran.",
        "conf/config.yaml:7:3: hydra.mode is left out. Values that are searched make it a search; there is no mode.",
    ]


def test_targets_stay_data(project: Any) -> None:
    files = {"config.yaml": "opt:\n  _target_: torch.optim.Adam\n  _partial_: true\n  lr: 0.1\n"}
    translation = project.translate("hydra", files)
    assert project.config("config.yaml") == {"opt": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.1}}
    assert len(translation.notes) == 1
    assert translation.is_complete


def test_targets_become_tags(project: Any) -> None:
    (project.root / "models.py").write_text("class Net:\n    def __init__(self, width, depth=1):\n        pass\n")
    files = {
        "config.yaml": "defaults: [net: small]\nlater: {_target_: models.Net, _partial_: true, width: 1}\n",
        "net/small.yaml": "_target_: models.Net\n_args_: [3]\ndepth: 2\n",
    }
    translation = project.translate("hydra", files, as_tags=True)
    assert translation.files["net/small.yaml"].text == "models: ../../models.py\n---\n!models.Net\n0: 3\ndepth: 2\n"
    assert project.config("config.yaml") == {
        "net": {"$new": "models:Net", "$args": [3], "depth": 2},
        "later": {"_target_": "models.Net", "_partial_": True, "width": 1},
    }
    assert project.notes(translation) == [
        "conf/config.yaml:2:19: _target_: models.Net stays data: there is no partial call (_partial_)."
        " Build it in your function, or write a class method that makes it and name that as the tag."
    ]


# What cannot be taken over ------------------------------------------------------------------------------------------


def test_what_is_missing_is_refused_until_it_is_given(project: Any) -> None:
    translation = project.translate("hydra", {"config.yaml": "lr: ???\nb: 1\n"})
    assert project.notes(translation) == [
        "conf/config.yaml:1:5: lr has no value yet (???). Write one, or give it each time: lr=VALUE."
    ]
    assert translation.is_complete
    with pytest.raises(ConfigError, match="there is no value here yet"):
        project.config("config.yaml")
    assert project.config("config.yaml", ["lr=0.1"]) == {"lr": 0.1, "b": 1}


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("${mult:2,3}", "mult is a function of your program. Compute it in your function, or write the value itself."),
        ("${z.${z}}", "its meaning is known only when the program runs. Write the value itself."),
        (
            "x${now:%Y}",
            "there is no such function here. Runs are numbered, and each keeps its time; leave the date out.",
        ),
        ("$${z}", "a '$' or a brace right before a reference would be read as a part of it. Write the value itself."),
        ("${b c}", "its meaning is known only when the program runs. Write the value itself."),
        ("${oc.env:X,null}", "a variable has text, and no null, where it is not set. Write the value itself."),
    ],
)
def test_what_has_no_words_is_left_to_the_user(text: str, note: str, project: Any) -> None:
    translation = project.translate("hydra", {"config.yaml": f"z: 1\na: {text}\n"})
    assert not translation.is_complete
    (left,) = [note for note in translation.notes if note.left]
    assert str(left).endswith(note)
    assert left.position[1:] == (2, 4)
    with pytest.raises(ConfigFaults, match=r"config\.yaml:\d+:4"):
        project.config("config.yaml")


def test_a_truth_inside_of_a_text_is_noted(project: Any) -> None:
    translation = project.translate("hydra", {"config.yaml": "a: true\nb: x${a}\n"})
    assert project.notes(translation) == [
        "conf/config.yaml:2:4: {a} is true or false, which reads true inside of a text and not True."
        " Write the value as text, in quotes, where the difference matters."
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.yaml": "a: 1\na: 2\n"}, "config.yaml:2:1: duplicate key 'a'"),
        ({"config.yaml": "- a\n"}, "config.yaml:1:1: this holds no mapping"),
        ({"config.yaml": "defaults: 3\n"}, "config.yaml:1:11: defaults is no list"),
        (
            {"config.yaml": "defaults: [a: x]\n", "a/x.yaml": "defaults: [/a@_here_: x]\n"},
            "a/x stands in its own defaults list",
        ),
        ({"config.yaml": "a: [1\n"}, "config.yaml"),
        ({"notes.txt": "a"}, "holds no .yaml file"),
    ],
)
def test_a_broken_folder_is_refused(files: Files, message: str, project: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        project.translate("hydra", files)
    assert message in str(caught.value)


@pytest.mark.parametrize("tool", ["hydra", "mlxp", "expyrun"])
def test_a_file_that_is_no_text_is_refused(tool: str, project: Any) -> None:
    project.conf.mkdir()
    (project.conf / "config.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigError, match=r"cannot read .*config\.yaml: not UTF-8 text"):
        project.translate(tool, {})


def test_a_choice_that_is_not_there(project: Any) -> None:
    translation = project.translate("hydra", {"config.yaml": "defaults:\n  - a: y\n  - b: ???\n", "a/x.yaml": "q: 1\n"})
    assert [note.split(": ", 1)[1].partition(".")[0] for note in project.notes(translation)] == [
        "a: y names no file of this folder",
        "b has to be chosen on the command line",
    ]


# The program ----------------------------------------------------------------------------------------------------------


def test_the_decorated_function_is_found(project: Any) -> None:
    (project.root / "train.py").write_text(
        "import hydra\n\n\n@hydra.main(version_base=None, config_path='conf', config_name='start')\ndef run(cfg):\n    pass\n"
    )
    translation = project.translate("hydra", {"start.yaml": "a: 1\n", "other.yaml": "b: 1\n"}, main=None)
    assert "__main__: train:run" in translation.files["start.yaml"].text
    assert "__run__" not in translation.files["other.yaml"].text
    (note,) = translation.notes
    assert str(note).endswith(
        "train.py:5:1: run is called by its decorator, with one argument."
        " Take the decorator and the call at the end away, and write def run(name, config): config is a dict."
    )


def test_without_a_function_nothing_runs(project: Any) -> None:
    translation = project.translate("hydra", {"config.yaml": "a: 1\n"}, main=None)
    assert not translation.is_complete
    assert "--main module:function" in project.notes(translation)[0]


# Folders that nobody wrote ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*_self_.*:UserWarning")
@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(generator=strategies.randoms(use_true_random=False))
def test_random_folders_mean_the_same(generator: random.Random, new_project: Callable[[], Any]) -> None:
    pytest.importorskip("hydra", reason="hydra-core is not installed: nothing to compare with")
    from hydra.errors import ConfigCompositionException

    project = new_project()
    files = _random_folder(generator)
    project.translate("hydra", files)
    try:
        theirs = hydra_compose(project.conf)
    except ConfigCompositionException:
        reject()  # one group at one place twice: Hydra has no meaning for that
    assert project.config("config.yaml") == theirs, files


def _random_folder(generator: random.Random) -> dict[str, str]:
    """Return a folder of configs whose groups, packages and values meet each other often."""
    groups = ("a", "b", "a/b")
    keys = ("x", "y", "a", "b")
    folder: dict[str, str] = {}

    def value(depth: int) -> Any:
        kind = generator.randrange(10)
        if kind < 3 and depth < 3:
            return {key: value(depth + 1) for key in generator.sample(keys, generator.randrange(3))}
        if kind == 3:
            return "${top}"
        if kind == 4:
            return "t${top}-${also.it}"
        return generator.choice([None, True, 0, 1.5, 1e-5, "word", "{top}", "$HOME", "{{x}}", "012", "yes", ""])

    def body() -> dict[str, Any]:
        # Hydra refuses to merge some kinds of values, and we do not: groups hold maps.
        data = {key: value(0) for key in generator.sample(keys, generator.randrange(1, 4))}
        return {key: item for key, item in data.items() if key not in ("a", "b") or isinstance(item, dict)}

    def member(group: str, depth: int, *, header: bool = False) -> str:
        """Add a member of a group and return its name. Each is chosen once: Hydra lets two places of one file share values."""
        name = f"n{len(folder)}"
        folder[f"{group}/{name}.yaml"] = ""  # its name is taken
        entries = []
        if depth < 2 and generator.randrange(2):
            inner = generator.choice(["b@y", "b@_global_.e", "b@_here_", "b", "a/b@_global_.f"])
            entries.append({f"/{inner}": member(inner.partition("@")[0], depth + 1)})
        start = generator.choice(["", "", "# @package _global_\n", "# @package c.d\n"]) if header else ""
        folder[f"{group}/{name}.yaml"] = start + config(entries)
        return name

    def config(entries: list[Any]) -> str:
        generator.shuffle(entries)
        entries.insert(generator.randrange(len(entries) + 1), "_self_")
        return yaml.safe_dump({"defaults": entries, **body()}, sort_keys=False)

    folder["base.yaml"] = yaml.safe_dump(body())
    entries: list[Any] = [
        {group: member(group, 0, header=True)} for group in generator.sample(groups, generator.randrange(1, 4))
    ]
    if generator.randrange(2):
        entries.append("base")
    for place in ("a@c", "b@x"):
        if generator.randrange(2):
            entries.append({place: member(place[0], 0)})
    folder["config.yaml"] = config(entries) + "top: 3\nalso: {it: word}\n"
    return folder
