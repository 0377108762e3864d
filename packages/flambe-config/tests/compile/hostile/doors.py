"""The doors through which foreign text comes in. Each takes a generator of random numbers and gives back what to try and how."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from inputs import Inputs

import flambe
from flambe.build.link import create_link_str, parse_link_str
from flambe.compile.compiler import compile_whole
from flambe.compile.compose import Composer
from flambe.compile.dump import tree_to_yaml
from flambe.compile.override import apply_overrides
from flambe.compile.search import expand, total
from flambe.compile.value import read_value
from flambe.compile.yaml import documents
from flambe.errors import ConfigError, FlambeError
from flambe.record.provenance import spec_to_yaml
from flambe.record.run import RunRecord, StageRecord, read_record
from flambe.spec.codec import dump_spec, load_spec
from flambe.spec.digest import spec_digest
from flambe.spec.nodes import is_concrete

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent.parent
MOST_VARIANTS = 3


class Attempt(NamedTuple):
    """One input and what is done with it. allowed: the errors that may come of it."""

    shown: Any
    do: Callable[[], object]
    allowed: type[Exception] = ConfigError


def configs() -> list[str]:
    """Return the texts of the examples and of the configs of the tests, the shorter half: they are read more often."""
    root = TESTS.parents[2]
    found = [*root.glob("examples/**/*.y*ml"), *TESTS.glob("**/*.y*ml"), *root.glob("packages/*/tests/**/*.y*ml")]
    texts = sorted({path.read_text(encoding="utf-8") for path in found if path.is_file()}, key=len)
    return [text for text in texts if text.strip()][: max(len(texts) * 2 // 3, 1)]


class Doors:
    """Every door, in a folder with files that configs may name.

    Whatever imports ``my_module`` or ``my_package`` of that folder leaves a file, should no watch see it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        trap = "open({!r}, 'w')\nimport os, subprocess\n"
        (folder / "my_module.py").write_text(
            trap.format(str(folder / "sprung"))
            + "class Engine:\n    def __init__(self, size: int = 1, inner=None, *, names: list[str] = ()): ...\n"
            "    @classmethod\n    def make(cls, size): ...\nclass Own:\n    @classmethod\n    def from_yaml(cls, c, n, f): ...\n"
            "def own_yaml(x): ...\n_private = Engine\n"
        )
        (folder / "my_package" / "deep").mkdir(parents=True)
        for name in ("__init__.py", "deep/__init__.py"):
            (folder / "my_package" / name).write_text(trap.format(str(folder / "sprung")) + "class Engine: ...\n")
        (folder / "words.txt").write_text("a: 1\n")
        (folder / "base.yaml").write_text("!Experiment\nname: base\npipeline:\n  e: !my_module.Engine {size: 3}\n")
        (folder / "loop.yaml").write_text("__default__: loop.yaml\n")
        (folder / "exp.yaml").write_text("")
        for number in range(150):  # each has the next as its parent
            (folder / f"chain{number}.yaml").write_text(f"__default__: ./chain{number + 1}.yaml\n")
        os.mkfifo(folder / "pipe")  # nobody ever writes to it
        self._vouched = {"sample": str(TESTS / "data/v1.0")}
        self._documents = {
            "run": [
                (path, (TESTS / "data/v1.0/run" / path).read_bytes())
                for path in ("run.json", "stages/walk/scale=0.5/run.json")
            ],
            "component": [
                (path, (TESTS / "data/v1.0/component" / path).read_bytes())
                for path in (
                    "manifest.json",
                    "cell/manifest.json",
                    "state.json",
                    "cell/state.json",
                    "cell/state.safetensors",
                )
            ],
        }
        shutil.copytree(TESTS / "data/v1.0/component", folder / "component")
        specs = [(TESTS / "data" / version / "spec.json").read_bytes() for version in ("v1.0", "v1.1")]
        self._inputs = Inputs(configs(), specs)
        self._plain = (
            "!Experiment\nname: x\nseed: 1\npipeline:\n  train: !my_module.Engine {max_steps: 1, x: [1, 2], y: 1.5}\n  model: &m {a: *m}\n"
        ).replace(": *m", ": {b: true}")
        for path in (TESTS / "data/v1.0/run/run.json", TESTS / "data/v1.0/run/stages/walk/scale=0.5/run.json"):
            read_record(path, StageRecord if "stages" in str(path) else RunRecord)
        flambe.load(folder / "component", extensions=self._vouched)  # imports the sample, once
        self.all = {
            "config": (35, self._config), "tree": (20, self._tree), "value": (15, self._value), "overrides": (10, self._overrides),
            "link": (5, self._link), "spec": (12, self._spec), "run": (2, self._record), "component": (2, self._component),
        }  # fmt: skip

    def attempt(self, rng: random.Random) -> tuple[str, Attempt]:
        """Return the next door and what is tried at it."""
        names = list(self.all)
        name = rng.choices(names, [self.all[name][0] for name in names])[0]
        return name, self.all[name][1](rng)

    def _config(self, rng: random.Random) -> Attempt:
        text = self._inputs.text(rng)
        words = self._inputs.words(rng) if rng.random() < 0.3 else []
        return Attempt((text, words), lambda: self._compile(text, words))

    def _compile(self, text: str, words: list[str]) -> None:
        file = str(self.folder / "exp.yaml")
        compiled = compile_whole(text, name="exp", file=file, overrides=words, argv=[])
        again = load_spec(dump_spec(compiled.spec))
        assert spec_digest(again) == spec_digest(compiled.spec), "the digest of what was written is another"
        for _ in zip(range(MOST_VARIANTS), expand(compiled.spec), strict=False):
            pass
        total(compiled.spec)
        documents(spec_to_yaml(compiled.spec), "resolved")
        documents(tree_to_yaml(compiled.header, compiled.tree), "raw")

    def _tree(self, rng: random.Random) -> Attempt:
        text = self._inputs.text(rng)
        return Attempt(text, lambda: documents(text, "x.yaml"))

    def _value(self, rng: random.Random) -> Attempt:
        text = self._inputs.text(rng)
        return Attempt(text, lambda: read_value(text))

    def _overrides(self, rng: random.Random) -> Attempt:
        words = [*self._inputs.words(rng), *self._inputs.words(rng)]

        def do() -> None:
            faults: list[ConfigError] = []
            tree = documents(self._plain, "x.yaml")[-1]
            apply_overrides(tree, words, faults, Composer(faults))
            tree_to_yaml(None, tree)
            for fault in faults:
                str(fault)

        return Attempt(words, do)

    def _link(self, rng: random.Random) -> Attempt:
        text = self._inputs.link(rng)

        def do() -> None:
            path, attributes = parse_link_str(text)
            assert parse_link_str(create_link_str(path, attributes)) == (path, attributes), "another link comes back"

        return Attempt(text, do)

    def _spec(self, rng: random.Random) -> Attempt:
        data = self._inputs.spec(rng)

        def do() -> None:
            spec = load_spec(data, where="spec")
            assert spec_digest(load_spec(dump_spec(spec))) == spec_digest(spec), (
                "the digest of what was written is another"
            )
            is_concrete(spec)
            total(spec)
            for _ in zip(range(MOST_VARIANTS), expand(spec), strict=False):
                pass

        return Attempt(data, do)

    def _record(self, rng: random.Random) -> Attempt:
        name, data = rng.choice(self._documents["run"])
        changed = self._inputs.json(json.loads(data), rng)
        path = self.folder / "run.json"
        path.write_bytes(changed)
        kind: Any = StageRecord if "stages" in name else RunRecord
        return Attempt((name, changed), lambda: read_record(path, kind))

    def _component(self, rng: random.Random) -> Attempt:
        name, data = rng.choice(self._documents["component"])
        if name.endswith(".json"):
            changed = self._inputs.json(json.loads(data), rng)
            if changed.count(b'"codec": "numpy"') != data.count(b'"codec":"numpy"'):
                changed = data  # any other name loads the codecs that are installed, torch's too: slow, and not the config's doing
        else:
            at = rng.randint(0, len(data))
            changed = data[:at] + rng.randbytes(rng.choice((0, 1, 8))) + data[at + rng.choice((0, 1, 8, 1000)) :]
        path = self.folder / "component" / name
        # With its class vouched for, only what is no argument of it is damaged: what a constructor does with those is its own.
        extensions = self._vouched if "manifest" not in name and rng.random() < 0.7 else None

        def do() -> None:
            flambe.load(self.folder / "component", verify=False, extensions=extensions)

        return Attempt((name, changed), _Prepared(path, changed, data, do), FlambeError)


class _Prepared:
    """A call with one file changed. The change is made before the watch looks, by ``prepare``, and taken back by ``undo``."""

    def __init__(self, path: Path, changed: bytes, data: bytes, do: Callable[[], object]) -> None:
        self._path, self._changed, self._data, self._do = path, changed, data, do

    def prepare(self) -> None:
        self._path.write_bytes(self._changed)

    def undo(self) -> None:
        self._path.write_bytes(self._data)

    def __call__(self) -> object:
        return self._do()


def cache_folder() -> str:
    """Return the folder that the process may write to while it reads."""
    return os.environ["XDG_CACHE_HOME"]
