"""What a component remembers and how it goes through copies, pickles and torch."""

from __future__ import annotations

import abc
import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flambe.build.component import Component
from flambe.build.made import USED_UP, arguments_of
from flambe.build.schema import Schema

MakeModule = Callable[..., Any]


class Inner(Component):
    def __init__(self, size: int = 3) -> None:
        self.size = size


class Rest(Component):
    def __init__(self, first: int, *rest: int, key: int = 0, **more: int) -> None:
        self.all = (first, rest, key, more)


class Bare(Component):
    pass


def test_arguments_are_recorded_by_name() -> None:
    assert arguments_of(Inner()) == {}
    assert arguments_of(Inner(5)) == {"size": 5}
    assert arguments_of(Inner(), defaults=True) == {"size": 3}
    assert arguments_of(Rest(1, key=2, other=3)) == {"first": 1, "key": 2, "other": 3}
    assert arguments_of(Rest(1, 2, 3, other=4)) == {"$args": [1, 2, 3], "other": 4}


def test_an_iterator_is_not_kept() -> None:
    class Takes(Component):
        def __init__(self, items: Any) -> None:
            self.items = list(items)

    made = Takes(iter([1, 2]))
    assert made.items == [1, 2]
    assert (arguments_of(made) or {})["items"] is USED_UP
    copy.deepcopy(made)


def test_what_a_constructor_does_to_its_list_changes_no_record() -> None:
    class Pops(Component):
        def __init__(self, items: list[int]) -> None:
            self.last = items.pop()

    assert arguments_of(Pops([1, 2])) == {"items": [1, 2]}


def test_misspelt_arguments_of_a_bare_class_are_no_secret() -> None:
    with pytest.raises(TypeError, match="Bare\\(\\) takes no arguments"):
        Bare(x=1)


def test_copies_and_pickles_remember() -> None:
    inner = Inner(4)
    for other in (copy.copy(inner), copy.deepcopy(inner), pickle.loads(pickle.dumps(inner))):
        assert other is not inner
        assert other.size == 4
        assert arguments_of(other) == {"size": 4}


def test_a_deep_copy_records_its_own_parts() -> None:
    class Outer(Component):
        def __init__(self, inner: Inner) -> None:
            self.inner = inner

    other = copy.deepcopy(Outer(Inner(4)))
    assert (arguments_of(other) or {})["inner"] is other.inner


def test_register_attrs_wants_attributes_that_are_there() -> None:
    inner = Inner()
    with pytest.raises(AttributeError, match="no attribute 'sise'"):
        inner.register_attrs("sise")
    inner.register_attrs("size")
    state = inner.get_state()
    assert dict(state) == {"size": 3}
    assert state._metadata[""]["version"] == "0.0.0"
    other = Inner(9)
    other.register_attrs("size")
    other.load_state(state, strict=True)
    assert other.size == 3


def test_abstract_components_can_be_named() -> None:
    class Abstract(Component, abc.ABC):
        @abc.abstractmethod
        def go(self) -> None: ...

    with pytest.raises(TypeError, match="abstract"):
        Abstract()


def test_compile_builds_what_is_nested() -> None:
    class Outer(Component):
        def __init__(self, inner: Inner, others: list[Inner]) -> None:
            self.inner = inner
            self.others = others

    outer = Outer.compile(inner=Schema(Inner, size=5), others=[Schema(Inner, size=6)])
    assert outer.inner.size == 5
    assert outer.others[0].size == 6
    assert Outer.schema(inner=1)["inner"] == 1


def test_torch_modules_combine(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Net(Component, torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, n: int) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(n, n)

    net = Net(3)
    assert arguments_of(net) == {"n": 3}
    assert list(net.state_dict()) == ["linear.weight", "linear.bias"]
    other = copy.deepcopy(net)
    assert arguments_of(other) == {"n": 3}
    other.linear.weight.data.zero_()
    other.load_state(net.get_state(), strict=True)
    assert torch.equal(other.linear.weight, net.linear.weight)


def test_pickles_go_to_other_processes(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text(
        "from flambe.build.component import Component\n"
        "class Far(Component):\n    def __init__(self, n, child=None):\n        self.n, self.child = n, child\n"
    )
    make = "import pickle, sys, elsewhere; sys.stdout.buffer.write(pickle.dumps(elsewhere.Far(3, elsewhere.Far(4))))"
    read = (
        "import pickle, sys; from flambe.build.made import arguments_of; far = pickle.load(sys.stdin.buffer); "
        "print(arguments_of(far)['n'], arguments_of(far)['child'] is far.child, far.child.n)"
    )
    data = subprocess.run([sys.executable, "-c", make], cwd=tmp_path, capture_output=True, check=True).stdout
    told = subprocess.run([sys.executable, "-c", read], cwd=tmp_path, input=data, capture_output=True, check=True)
    assert told.stdout.decode().split() == ["3", "True", "4"]
