"""Where the values of a stage were written, for whoever builds it far from the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flambe.errors import Position
from flambe.spec.nodes import ARGS, DISTRIBUTIONS, GRID, LINK, LinkTarget, Path, Spec, kind_of, link_target, pointer


def origins_of(spec: Spec, stage: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Return the origins of one variant of a stage: JSON pointer of the *config path* below its body → ``file:line:column``.

    params: full dotted path → the option that was chosen there, as written. What stands in a chosen option of a search is
    found where the option stands in the variant; the options that were not chosen are left out.
    """
    index = next(place for place, one in enumerate(spec.stages) if one.name == stage)
    head = f"/stages/{index}/body"
    found: dict[str, str] = {}
    for text, origin in spec.origins.items():
        if not (text == head or text.startswith(head + "/")):
            continue
        if "/$" not in text:
            found[text[len(head) :]] = _text(spec, origin)  # most are so, and a wide search comes here for each variant
        else:
            path = _in_variant(_parts(text[len(head) :]), spec.stages[index].body, stage, params)
            if path is not None:
                # A chosen option comes after its search, and takes its place.
                found[pointer(path)] = _text(spec, origin)
    return found


def link_origins(spec: Spec, stage: str) -> dict[str, str]:
    """Return where other stages link into ``stage``: ``link_name`` → ``file:line:column`` of the first such link."""
    found: dict[str, str] = {}
    bodies: Any = [{} if one.name == stage else {"body": one.body} for one in spec.stages]
    for text, origin in spec.origins.items():
        node: Any = {"stages": bodies}
        for part in _parts(text):
            node = _child(node, part)
        if kind_of(node) == LINK and node[LINK][0] == stage:
            found.setdefault(link_name(link_target(node)), _text(spec, origin))
    return found


def written_at(spec: Spec, *path: str | int) -> Position | None:
    """Return where the value at a JSON path of a spec was written, or else the nearest one that it is a part of."""
    for size in range(len(path), 0, -1):
        origin = spec.origins.get(pointer(path[:size]))
        if origin is not None:
            return read_position(_text(spec, origin))
    return None


def link_name(target: LinkTarget) -> str:
    """Return the text of a link, ``()`` at the end of a call. What is copied has the same name."""
    return f"{target}{'()' if target.call else ''}"


def position_in(origins: Mapping[str, str], path: Path) -> Position | None:
    """Return where the value at a config path below the body was written, or else the nearest one that it is a part of."""
    for size in range(len(path), -1, -1):
        text = origins.get(pointer(path[:size]))
        if text is not None:
            return read_position(text)
    return None


def read_position(text: str) -> Position:
    """Return the position that ``file:line:column`` says."""
    file, line, column = text.rsplit(":", 2)
    return Position(file, int(line), int(column))


def _text(spec: Spec, origin: list[int]) -> str:
    file, line, column = origin
    return str(Position(spec.source.files[file].path, line, column))


def _in_variant(parts: list[str], body: Any, stage: str, params: Mapping[str, Any]) -> Path | None:
    """Return the config path of a pointer into a body with search; None for what the variant does not have."""
    path: list[str] = []
    node = body
    while parts:
        name, *parts = parts
        search, node = node, _child(node, name)
        if name == GRID:
            if not isinstance(node, list) or not parts:
                return None  # the body holds no search any more, and nothing says which option it was
            place, *parts = parts
            option, name_of = _child(node, place), _name(search, place)
            while kind_of(option) == GRID and parts:  # options of a search in a search are options of the outer one
                _, place, *parts = parts
                option, name_of = _child(option[GRID], place), _name(option, place)
            node = option
            dotted = f"{stage}." + ".".join(step.replace(".", "\\.") for step in path)
            if dotted not in params or params[dotted] not in (node, name_of):
                return None
        elif name in DISTRIBUTIONS:
            return None  # the number that was drawn stands in its place
        elif name != ARGS:
            path.append(name)
    return tuple(path)


def _name(search: Any, place: str) -> Any:
    """Return the name of an option, which stands for it among the parameters; the option itself where it has none."""
    return _child(search.get("names", search[GRID]), place)


def _child(node: Any, name: str) -> Any:
    if isinstance(node, dict):
        return node.get(name)
    if isinstance(node, list) and name.isdigit() and int(name) < len(node):
        return node[int(name)]
    return None


def _parts(text: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


__all__ = ["link_name", "link_origins", "origins_of", "position_in", "read_position"]
