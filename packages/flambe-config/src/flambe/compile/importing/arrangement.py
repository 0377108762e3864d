"""Which parts of a config of Hydra may stand in one file of ours, where what is written there beats every parent."""

from __future__ import annotations

from flambe.compile.importing.hydra_defaults import Package, Part
from flambe.compile.importing.hydra_parts import Body, Item
from flambe.compile.yaml import Mapping, Node, child


def without_empty(items: list[Item], package: Package) -> list[Item]:
    """Return items without the empty bodies; one that makes a map where nothing else does is kept."""
    return [
        item
        for item in items
        if not (isinstance(item, Body) and not item.config.body.items and item.package == package)
    ]


def commuted(items: list[Item]) -> list[Item]:
    """Return items with a body moved to the end, where what comes after it touches other keys."""
    for index, item in enumerate(items):
        if isinstance(item, Body) and all(
            isinstance(later, Part) and _is_apart(item, later.package) for later in items[index + 1 :]
        ):
            return [*items[:index], *items[index + 1 :], item]
    return items


def _is_apart(body: Body, package: Package) -> bool:
    """Whether a body says nothing about what is at ``package``."""
    if package[: len(body.package)] != body.package or package == body.package:
        return False
    node: Node | None = body.config.body
    for key in package[len(body.package) :]:
        if not isinstance(node, Mapping):
            return False
        node = child(node, key)
        if node is None:
            return True
    return False


def fits(part: Part, later: list[Part], package: Package, tree: Mapping) -> bool:
    """Whether a part may stand in the file as a ``__default__`` of the map at its package: then it is below all that is
    written there, and below what stands as a ``__default__`` further down.
    """
    at = part.package[len(package) :]
    if not at or any(one.package != part.package and part.package[: len(one.package)] == one.package for one in later):
        return False
    node: Node | None = tree
    for key in at:
        node = child(node, key) if isinstance(node, Mapping) else None
        if node is None:
            return True
        if not isinstance(node, Mapping):
            return False
    return True
