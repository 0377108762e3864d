"""The picture of a pipeline: where its stages stand, and how its arrows run.

Layers by the longest way from a source, order inside a layer by the barycentre heuristic with bends for arrows that
pass other layers: the method of Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System
Structures", 1981.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

BOX_WIDTH = 190
BOX_HEIGHT = 78
_COLUMN_GAP = 64
_ROW_GAP = 26
_BEND_HEIGHT = 14
_MARGIN = 10
_SWEEPS = 8


class Box(NamedTuple):
    """A stage: its upper left corner."""

    name: str
    x: float
    y: float
    depth: int


class Arrow(NamedTuple):
    """An arrow between two stages as an SVG path. implied: a chain of other arrows says the same."""

    source: str
    target: str
    path: str
    implied: bool


class Drawing(NamedTuple):
    """All boxes and arrows, in pixels."""

    width: float
    height: float
    boxes: list[Box]
    arrows: list[Arrow]


# A place in a layer: a stage, or the bend of the arrow (source, target) where it passes.
_Place = str | tuple[str, str, int]


def draw(needs: Mapping[str, Sequence[str]]) -> Drawing:
    """Lay out a pipeline. needs: stage → the stages it needs, in the order to keep where nothing else decides.

    A need that closes a circle (in a broken or foreign file) is left out.
    """
    needs = _without_circles(needs)
    depths = _depths(needs)
    layers: list[list[_Place]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
    for name, depth in depths.items():
        layers[depth].append(name)
    ways: dict[tuple[str, str], list[_Place]] = {}
    for target, above in needs.items():
        for source in above:
            bends: list[_Place] = [(source, target, depth) for depth in range(depths[source] + 1, depths[target])]
            for depth, bend in enumerate(bends, depths[source] + 1):
                layers[depth].append(bend)
            ways[source, target] = [source, *bends, target]
    _untangle(layers, list(ways.values()))
    centres = _centres(layers)
    boxes = [
        Box(name, _left(depth), centres[name] - BOX_HEIGHT / 2, depth) for name, depth in depths.items()
    ]  # fmt: skip
    arrows = [
        Arrow(source, target, _path(way, centres, depths[source]), _is_implied(source, target, needs))
        for (source, target), way in ways.items()
    ]
    width = _left(len(layers) - 1) + BOX_WIDTH + _MARGIN if layers else 0
    height = max((centres[place] + _height(place) / 2 for layer in layers for place in layer), default=0) + _MARGIN
    return Drawing(width, height if layers else 0, boxes, arrows)


def _without_circles(needs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    kept: dict[str, list[str]] = {name: [] for name in needs}
    for target, above in needs.items():
        for source in dict.fromkeys(above):
            if source in kept and not _reaches(target, source, kept):
                kept[target].append(source)
    return kept


def _reaches(start: str, end: str, needs: Mapping[str, Sequence[str]]) -> bool:
    """Whether ``end`` is ``start`` or needs it, directly or through others."""
    waiting, seen = [end], set()
    while waiting:
        name = waiting.pop()
        if name == start:
            return True
        if name not in seen:
            seen.add(name)
            waiting.extend(needs[name])
    return False


def _is_implied(source: str, target: str, needs: Mapping[str, Sequence[str]]) -> bool:
    return any(other != source and _reaches(source, other, needs) for other in needs[target])


def _depths(needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    depths: dict[str, int] = {}
    waiting = list(needs)
    while waiting:
        name = waiting.pop(0)
        if all(above in depths for above in needs[name]):
            depths[name] = 1 + max((depths[above] for above in needs[name]), default=-1)
        else:
            waiting.append(name)
    return {name: depths[name] for name in needs}


def _untangle(layers: list[list[_Place]], ways: Sequence[Sequence[_Place]]) -> None:
    """Order each layer by the mean place of its neighbours, to and fro; ``layers`` is changed."""
    before: dict[_Place, list[_Place]] = {}
    after: dict[_Place, list[_Place]] = {}
    for way in ways:
        for one, other in itertools.pairwise(way):
            after.setdefault(one, []).append(other)
            before.setdefault(other, []).append(one)
    for sweep in range(_SWEEPS):
        neighbours = before if sweep % 2 == 0 else after
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            places = {place: index / max(1, len(other) - 1) for other in layers for index, place in enumerate(other)}
            means = {
                place: sum(places[near] for near in neighbours[place]) / len(neighbours[place])
                if neighbours.get(place)
                else places[place]
                for place in layer
            }
            layer.sort(key=lambda place: means[place])


def _height(place: _Place) -> float:
    return BOX_HEIGHT if isinstance(place, str) else _BEND_HEIGHT


def _left(depth: int) -> float:
    return _MARGIN + depth * (BOX_WIDTH + _COLUMN_GAP)


def _centres(layers: Sequence[Sequence[_Place]]) -> dict[_Place, float]:
    """Return the middle height of every place; the layers are centred on one line."""
    heights = [sum(_height(place) + _ROW_GAP for place in layer) - _ROW_GAP for layer in layers]
    tallest = max(heights, default=0)
    centres: dict[_Place, float] = {}
    for layer, height in zip(layers, heights, strict=True):
        y = _MARGIN + (tallest - height) / 2
        for place in layer:
            centres[place] = y + _height(place) / 2
            y += _height(place) + _ROW_GAP
    return centres


def _path(way: Sequence[_Place], centres: Mapping[_Place, float], depth: int) -> str:
    x, y = _left(depth) + BOX_WIDTH, centres[way[0]]
    parts = [f"M{x:g},{y:g}"]
    for step, place in enumerate(way[1:], 1):
        left, height = _left(depth + step), centres[place]
        # The tip of an arrow needs some room before its box.
        end = left - 8 if isinstance(place, str) else left
        middle = (x + end) / 2
        parts.append(f"C{middle:g},{y:g} {middle:g},{height:g} {end:g},{height:g}")
        x, y = end, height
        if not isinstance(place, str):
            x = left + BOX_WIDTH
            parts.append(f"L{x:g},{y:g}")
    return " ".join(parts)
