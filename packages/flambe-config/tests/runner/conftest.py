"""A small extension that needs nothing but the floor, and specs over it."""

import textwrap

import pytest

from flambe.spec.nodes import Environment, Spec, Stage

TOY = textwrap.dedent(
    """
    import random
    import flambe
    import numpy as np
    from flambe import Component


    class Words(Component):
        immutable = True
        made = 0

        def __init__(self, n=3):
            super().__init__()
            Words.made += 1
            self.words = [f"w{i}" for i in range(n)]
            self.table = np.arange(n, dtype="float32")

        @property
        def size(self):
            return len(self.words)

        def _state(self, state_dict, prefix, local_metadata):
            state_dict[prefix + "words"] = self.words
            state_dict[prefix + "table"] = self.table
            return state_dict

        def _load_state(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs):
            self.words = state_dict[prefix + "words"]
            self.table = state_dict[prefix + "table"]


    class Cell(Component):
        def __init__(self, size):
            super().__init__()
            self.size = size
            self.weights = np.random.rand(size)
            self.register_attrs("weights")


    class Model(Component):
        def __init__(self, cell):
            super().__init__()
            self.cell = cell


    class Walk(Component):
        '''A random walk: only equal generators give equal walks.'''

        def __init__(self, model, words=None, steps=4, fail_at=None, lower=False):
            super().__init__()
            self.model, self.words, self.steps, self.fail_at = model, words, steps, fail_at
            self.position, self.done = 0.0, 0
            self.lower_is_better = lower
            self.register_attrs("position", "done")

        def run(self):
            if self.fail_at == self.done:
                raise ValueError("the toy broke as it was told to")
            print("step", self.done)
            self.position += random.random() + float(np.random.rand())
            self.model.cell.weights += 0.5
            self.done += 1
            flambe.log("walk/position", self.position, self.done)
            return self.done < self.steps

        def metric(self):
            return self.position


    class Look(Component):
        def __init__(self, model, size, rate=1.0):
            super().__init__()
            self.model, self.size, self.rate = model, size, rate
            self.total = None
            self.register_attrs("total")

        def run(self):
            self.total = float(self.model.cell.weights.sum()) * self.rate
            return False

        def metric(self):
            return self.total


    class Unsavable(Component):
        def __init__(self):
            super().__init__()
            self.handle = open("/dev/null")
            self.register_attrs("handle")
    """
)


@pytest.fixture
def toy(tmp_path):
    """The folder of the extension ``toyext``, whose path specs name."""
    folder = tmp_path / "ext" / "toyext"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(TOY)
    return folder


@pytest.fixture(autouse=True)
def fresh_modules(monkeypatch):
    """Every test imports its own copy of the extension, and shares no object with another one."""
    import sys

    from flambe.runner import handover

    yield
    sys.modules.pop("toyext", None)
    handover._shared.clear()
    sys.path[:] = [entry for entry in sys.path if not entry.endswith("/ext")]


@pytest.fixture
def toy_spec(tmp_path, toy):
    """A spec of four stages: words → model → walk → look."""

    def make(*, steps=4, seed=0, size=None, **walk):
        stages = [
            Stage(name="words", body={"$new": "toyext:Words", "n": 3}),
            Stage(
                name="model",
                body={
                    "$new": "toyext:Model",
                    "cell": {"$new": "toyext:Cell", "size": size or {"$link": ["words"], "attr": ["size"]}},
                },
            ),
            Stage(
                name="walk",
                body={
                    "$new": "toyext:Walk",
                    "model": {"$link": ["model"]},
                    "words": {"$link": ["words"]},
                    "steps": steps,
                    **walk,
                },
            ),
            Stage(
                name="look",
                body={
                    "$new": "toyext:Look",
                    "model": {"$link": ["walk"], "attr": ["model"]},
                    "size": {"$link": ["model", "cell", "size"]},
                },
            ),
        ]
        return Spec(
            name="toy",
            output_dir=str(tmp_path / "out"),
            seed=seed,
            stages=stages,
            environment=Environment(extensions={"toyext": str(toy)}),
        )

    return make
