"""YAML has lists; where a signature asks for a tuple, the built object gets one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Union

import pytest

import flambe
from flambe.build.builder import Scope, build
from flambe.build.component import Component
from flambe.build.made import arguments_of
from flambe.build.registrable import registrable_factory, target_of

if TYPE_CHECKING:
    from decimal import Decimal

Sizes = Union[int, tuple[int, ...]]  # noqa: UP007  # as PyTorch writes its own


class Shapes(Component):
    def __init__(
        self,
        pair: tuple[int, int] = (0, 0),
        maybe: tuple[float, ...] | None = None,
        sizes: Sizes = 1,
        pairs: Sequence[tuple[str, int]] = (),
        named: dict[str, tuple[int, int]] | None = None,
        deep: tuple[tuple[int, int], list[int]] | None = None,
        bare: tuple | None = None,  # type: ignore[type-arg]
        plain: list[int] | None = None,
        both: list[int] | tuple[int, ...] = (),
        free: Any = None,
        unknown: tuple[Decimal, int] | None = None,
        **rest: tuple[int, int],
    ) -> None:
        self.given = {
            name: value for name, value in locals().items() if name not in ("self", "rest", "__class__")
        } | rest

    @registrable_factory
    @classmethod
    def of(cls, pair: tuple[int, int]) -> Shapes:
        return cls(pair=pair)


@pytest.mark.parametrize(
    ("name", "written", "given"),
    [
        ("pair", [1, 2], (1, 2)),
        ("maybe", [0.5], (0.5,)),
        ("maybe", None, None),
        ("sizes", [3, 4, 5], (3, 4, 5)),
        ("sizes", 3, 3),
        ("pairs", [["a", 1], ["b", 2]], [("a", 1), ("b", 2)]),
        ("named", {"a": [1, 2]}, {"a": (1, 2)}),
        ("deep", [[1, 2], [3]], ((1, 2), [3])),
        ("bare", [1, [2]], (1, [2])),
        ("plain", [1], [1]),
        ("both", [1], [1]),
        ("free", [1], [1]),
        ("unknown", [1, 2], [1, 2]),
    ],
)
def test_a_list_becomes_what_is_asked_for(name: str, written: Any, given: Any, tmp_path: Any) -> None:
    made = build({"$new": target_of(Shapes), name: written}, scope=Scope())
    assert made.given[name] == given
    assert type(made.given[name]) is type(given)
    recorded = arguments_of(made)
    assert recorded is not None
    assert recorded[name] == written, "what was written is what is saved"
    flambe.save(made, tmp_path / "it")
    assert flambe.load(tmp_path / "it").given[name] == given


def test_by_position_and_for_a_factory() -> None:
    assert build({"$new": target_of(Shapes), "$args": [[1, 2], [0.5]]}, scope=Scope()).given["maybe"] == (0.5,)
    assert build({"$new": f"{target_of(Shapes)}.of", "pair": [1, 2]}, scope=Scope()).given["pair"] == (1, 2)


def test_what_pytorch_takes_as_tuples_only() -> None:
    torch = pytest.importorskip("torch")
    layer = build({"$new": "torch.nn:Unflatten", "dim": 1, "unflattened_size": [2, 3]}, scope=Scope())
    assert layer(torch.zeros(4, 6)).shape == (4, 2, 3)
    layer = build({"$new": "torch.nn:Conv2d", "$args": [1, 2, [3, 3]], "padding": [1, 1]}, scope=Scope())
    assert layer.kernel_size == (3, 3)
    assert layer(torch.zeros(1, 1, 4, 4)).shape == (1, 2, 4, 4)
