"""How much a value of a config holds, so that references which multiply it are refused before any memory is spent."""

from __future__ import annotations

from typing import NamedTuple

from flambe.compile.yaml import STANDARD, Alias, Mapping, Node, Sequence, text_of

VALUES = ("!file", "!env")
"""Tags of values that are no objects."""


class Extent(NamedTuple):
    """What there is below a node, itself counted. odd: the first value that is no data."""

    nodes: int
    characters: int
    depth: int
    odd: Node | None


class Extents:
    """The extents of values that stay as they are, each looked at once."""

    def __init__(self) -> None:
        self._known: dict[int, Extent] = {}

    def of(self, node: Node) -> Extent:
        """Return how much there is below a node; what stands at several places is counted at each."""
        found = self._known.get(id(node))
        if found is None:
            inner: list[Node] = []
            if isinstance(node, Alias):
                inner = [node.target]
            elif isinstance(node, Mapping):
                inner = [part for pair in node.items for part in pair]
            elif isinstance(node, Sequence):
                inner = node.items
            parts = [self.of(part) for part in inner]
            found = Extent(
                1 + sum(part.nodes for part in parts),
                len(text_of(node) or "") + sum(part.characters for part in parts),
                max((part.depth for part in parts), default=0) + (not isinstance(node, Alias)),
                next((part.odd for part in parts if part.odd is not None), None) if _is_data(node) else node,
            )
            self._known[id(node)] = found
        return found


def _is_data(node: Node) -> bool:
    return node.tag is None or node.tag.startswith(STANDARD) or node.tag in VALUES
