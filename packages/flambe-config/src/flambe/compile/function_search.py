"""A search in the config of a function → one config a variant, whose references follow what was chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from flambe.compile.dump import node_to_yaml
from flambe.compile.interpolate import SEARCHES, Interpolation
from flambe.compile.lowering import GRID_TAGS, Lowering, Place, Where
from flambe.compile.run_settings import STAGE
from flambe.compile.search import dimensions
from flambe.compile.yaml import Mapping, Node, Sequence, bared, documents, text_of

if TYPE_CHECKING:
    from flambe.compile.compiler import Compiled


class Options:
    """Gives the values of a search: as a spec has them, and as the config of a variant does.

    compiled: the whole config. lowering: to draw with, and to read the values.
    """

    def __init__(self, compiled: Compiled, lowering: Lowering) -> None:
        self._tree = compiled.tree
        self._lowering = lowering
        lowering.extensions = compiled.spec.environment.extensions
        lowering.files = compiled.spec.environment.files
        lowering.seed = compiled.spec.seed

    def __call__(self, search: Node, path: Where) -> list[tuple[Any, Node]]:
        # The values of a list may refer to other searches; what draws needs its numbers now.
        node = search if (search.tag or "")[1:] in GRID_TAGS else Interpolation(self._tree, []).resolved(search)
        found = self._lowering.value(node, Place((), (STAGE, "config", *path)))
        values = [option.node for option in dimensions(found)[0].options]
        return [
            (value, documents(node_to_yaml(value), "", place=lambda *_: search.position)[0])  # type: ignore[arg-type]
            for value in values
        ]


def variants(
    tree: Node, options: Callable[[Node, Where], list[tuple[Any, Node]]]
) -> Iterator[tuple[Node, dict[str, Any]]]:
    """Yield a function's config once for each choice of its searches, and the choices: dotted path → the option.

    options: gives the values of the search at a path. References stay, so that they follow the choice. The last search changes
    fastest; one inside of an option comes after it.
    """
    found = next(_searches(tree, ()), None)
    if found is None:
        yield tree, {}
        return
    path, search = found
    dotted = ".".join(str(part).replace(".", "\\.") for part in ("config", *path))
    for value, option in options(search, path):
        for rest, chosen in variants(_with(tree, path, option), options):
            yield rest, {dotted: value, **chosen}


def _searches(node: Node, path: Where) -> Iterator[tuple[Where, Node]]:
    bare = bared(node)
    if bare.tag in SEARCHES:
        yield path, bare
    elif isinstance(bare, Mapping):
        for key, value in bare.items:
            yield from _searches(value, (*path, text_of(key) or ""))
    elif isinstance(bare, Sequence):
        for index, value in enumerate(bare.items):
            yield from _searches(value, (*path, index))


def _with(node: Node, path: Where, value: Node) -> Node:
    """Return a tree with another value at a path; what is not on the way is shared."""
    if not path:
        return value
    bare = bared(node)
    copy: Mapping | Sequence
    if isinstance(bare, Mapping):
        copy = Mapping(bare.tag, bare.position)
        copy.items = [
            (key, _with(inner, path[1:], value) if text_of(key) == path[0] else inner) for key, inner in bare.items
        ]
        return copy
    assert isinstance(bare, Sequence)
    copy = Sequence(bare.tag, bare.position)
    copy.items = [
        _with(inner, path[1:], value) if index == path[0] else inner for index, inner in enumerate(bare.items)
    ]
    return copy
