"""The choices of a search: listed, counted and put into a body, one at a time, so that memory stays flat.

A body is planned once: each search node is a *dimension* with its options, and an option that is a component may
bring dimensions of its own (a conditional search). Only the dimensions of the chosen option are gone through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from flambe.spec.nodes import ARGS, GRID, NEW, YAML, Spec, arguments, kind_of

_Fill = Callable[[dict[str, Any]], Any]


class Option(NamedTuple):
    """One value of a dimension. node: as written. inner: the dimensions in it."""

    node: Any
    inner: tuple[Dimension, ...]


class Dimension(NamedTuple):
    """One search node. path: the dotted path inside the stage (a dot in a key is written ``\\.``)."""

    path: str
    options: tuple[Option, ...]


def dimensions(body: Any, path: str = "") -> tuple[Dimension, ...]:
    """Return the search nodes of a body, in file order. A search whose option is a search is one dimension."""
    found: list[Dimension] = []
    for key, node in _parts(body, path):
        found += dimensions(node, key)
    if kind_of(body) == GRID:
        return (Dimension(path, tuple(_options(body, path))),)
    return tuple(found)


def _options(grid: dict[str, Any], path: str) -> Iterator[Option]:
    for option in grid[GRID]:
        if kind_of(option) == GRID:
            yield from _options(option, path)
        else:
            yield Option(option, dimensions(option, path))


def _parts(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    kind = kind_of(node)
    if kind == NEW:
        for index, item in enumerate(node.get(ARGS, ())):
            yield _join(path, index), item
        for key, item in arguments(node).items():
            yield _join(path, key), item
    elif kind == YAML:
        yield _join(path, "value"), node["value"]
    elif kind is None and isinstance(node, dict):
        for key, item in node.items():
            yield _join(path, key), item
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield _join(path, index), item


def _join(path: str, key: str | int) -> str:
    name = str(key).replace(".", "\\.")
    return f"{path}.{name}" if path else name


def assignments(body: Any) -> Iterator[dict[str, Any]]:
    """Yield every choice of a body's search: dotted path inside the stage → the option as written.

    File order, the rightmost (last) search changes fastest. A chosen component's own searched arguments follow it;
    those of options that are not chosen do not appear. A body without search gives one empty choice.
    """
    return _choices(dimensions(body))


def _choices(todo: Sequence[Dimension]) -> Iterator[dict[str, Any]]:
    if not todo:
        yield {}
        return
    first, rest = todo[0], todo[1:]
    for option in first.options:
        head = {first.path: option.node}
        for own in _choices(option.inner):
            for others in _choices(rest):
                yield {**head, **own, **others}


def count(body: Any) -> int:
    """Return how many choices ``assignments`` yields, without going through them."""
    return _count(dimensions(body))


def _count(todo: Sequence[Dimension]) -> int:
    product = 1
    for dimension in todo:
        product *= sum(_count(option.inner) for option in dimension.options)
    return product


def substitute(body: Any, assignment: dict[str, Any]) -> Any:
    """Return the body with each search node replaced by its choice, searches inside of choices too.

    What holds no search is shared with ``body``, not copied. Raises KeyError for a search without a choice.
    """
    fill = _filler(body, "")
    return fill(assignment) if fill else body


def total(spec: Spec) -> int:
    """Return how many concrete specs ``expand`` yields."""
    product = 1
    for stage in spec.stages:
        product *= count(stage.body)
    return product


def expand(spec: Spec) -> Iterator[Spec]:
    """Yield every concrete spec: the product of the choices of all stages, the last one changing fastest.

    Each stage's ``params`` are its choices. Parts without search are shared between the specs: treat them as read-only.
    """
    plans = [_Plan(stage.body) for stage in spec.stages]
    for chosen in _product(plans, 0):
        stages = [
            msgspec.structs.replace(stage, body=body, params=params) if params else stage
            for stage, (body, params) in zip(spec.stages, chosen, strict=True)
        ]
        yield msgspec.structs.replace(spec, stages=stages)


class _Plan:
    """A body cut where its searches are, so that putting choices in touches nothing else."""

    def __init__(self, body: Any) -> None:
        self.body = body
        self.todo = dimensions(body)
        self._fill = _filler(body, "")

    def variants(self) -> Iterator[tuple[Any, dict[str, Any]]]:
        for assignment in _choices(self.todo):
            yield (self._fill(assignment) if self._fill else self.body), assignment


def _product(plans: Sequence[_Plan], start: int) -> Iterator[list[tuple[Any, dict[str, Any]]]]:
    if start == len(plans):
        yield []
        return
    for variant in plans[start].variants():
        for rest in _product(plans, start + 1):
            yield [variant, *rest]


def _filler(node: Any, path: str) -> _Fill | None:
    """Return a function from assignment to the concrete value of ``node``, or None when it holds no search."""
    kind = kind_of(node)
    if kind == GRID:
        fillers = {id(option.node): _filler(option.node, path) for option in _options(node, path)}

        def choose(assignment: dict[str, Any]) -> Any:
            option = assignment[path]
            # A choice that came from a file is equal to the option, yet another object.
            fill = fillers[id(option)] if id(option) in fillers else _filler(option, path)
            return fill(assignment) if fill else option

        return choose
    if kind not in (None, NEW, YAML) or not isinstance(node, dict | list):
        return None
    parts: list[tuple[Any, _Fill | None]] = []
    if isinstance(node, list):
        parts = [(index, _filler(item, _join(path, index))) for index, item in enumerate(node)]
    else:
        for key, item in node.items():
            if key == ARGS:
                parts.append((key, _filler(item, path)))
            elif not key.startswith("$"):
                parts.append((key, _filler(item, _join(path, key))))
    filled = [(key, fill) for key, fill in parts if fill is not None]
    if not filled:
        return None

    def rebuild(assignment: dict[str, Any]) -> Any:
        result: Any = node.copy()
        for key, fill in filled:
            result[key] = fill(assignment)
        return result

    return rebuild
