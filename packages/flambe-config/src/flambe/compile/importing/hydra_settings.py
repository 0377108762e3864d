"""The ``hydra:`` section of a config: what has a place with us, and a note for everything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from flambe.compile.importing.dialect import HYDRA, means_the_same, scalar_of
from flambe.compile.importing.translation import Translation
from flambe.compile.yaml import Mapping, Node, Scalar, Sequence, documents
from flambe.errors import Position

_RANGE = re.compile(r"range\(\s*(-?\d+)\s*(?:,\s*(-?\d+)\s*)?(?:,\s*(-?\d+)\s*)?\)\Z")
_INTERVAL = re.compile(r"interval\(\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\)\Z")
_CHOICE = re.compile(r"choice\((.*)\)\Z", re.S)

_REMEDIES = {
    "mode": "Values that are searched make it a search; there is no mode.",
    "launcher": "Run several at once with flambe tune, or on a cluster with flambe submit.",
    "sweeper": "Write searches into the config: !g [a, b], !uniform [low, high].",
    "sweep": "Runs of a search are folders of one run directory, named by their values.",
    "job_logging": "What a program prints is kept in outputs.log; --quiet and --verbose say how much.",
    "hydra_logging": "--quiet and --verbose say how much is printed.",
    "callbacks": "Call them in your function.",
    "searchpath": "Name files of other folders by their path under __default__.",
    "output_subdir": "The configs of a run are spec.json, config.yml and raw_config.yml in its folder.",
    "env": "Set the variables before the command.",
}


class Settings(NamedTuple):
    """What a ``hydra:`` section says. output_dir: before any date; sweep: override key → its search."""

    output_dir: str = "outputs"
    name: str | None = None
    sweep: dict[str, Node] = {}


def read_settings(body: Mapping, translation: Translation) -> Settings:
    """Take the ``hydra:`` section out of a config's body."""
    settings = Settings()
    for index, (key, value) in enumerate(body.items):
        if isinstance(key, Scalar) and key.text == "hydra":
            del body.items[index]
            if isinstance(value, Mapping):
                return _read(value, translation)
            break
    return settings


def _read(section: Mapping, translation: Translation) -> Settings:
    output_dir, name = "outputs", None
    sweep: dict[str, Node] = {}
    for path, key, value in _leaves(section, ()):
        dotted = ".".join(path)
        if path[:2] == ("sweeper", "params") and len(path) > 2 and isinstance(value, Scalar):
            found = search(value, translation)
            if found is not None and not path[2].startswith(("+", "~")) and "/" not in dotted:
                sweep[".".join(path[2:])] = found
            else:
                translation.note(
                    value.position,
                    f"hydra.{dotted}: {value.text!r} is left out of the search",
                    "Write what it tries as !g [a, b].",
                )
        elif path == ("run", "dir") and isinstance(value, Scalar):
            output_dir = _before_the_date(value.text) or output_dir
            translation.note(
                value.position,
                f"run directories are {output_dir}/NAME/exp.0, exp.1, …, and have no date in their path",
                "flambe report ls shows when each one ran.",
            )
        elif path == ("job", "name") and isinstance(value, Scalar):
            name = value.text
        elif path == ("job", "chdir"):
            is_on = isinstance(value, Scalar) and HYDRA.value(value) is True
            if not is_on:
                translation.note(
                    key.position, "a function runs in its run directory", "Relative paths of data start at $FLAMBE_CWD."
                )
        else:
            remedy = _REMEDIES.get(path[0], "It has no counterpart; remove it.")
            translation.note(key.position, f"hydra.{dotted} is left out", remedy)
    return Settings(output_dir, name, sweep)


def _leaves(node: Mapping, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Node, Node]]:
    for key, value in node.items:
        below = (*path, key.text if isinstance(key, Scalar) else "")
        if isinstance(value, Mapping) and value.items and len(below) < 3:
            yield from _leaves(value, below)
        else:
            yield below, key, value


def _before_the_date(text: str) -> str:
    """Return the folders of a path that come before the first one with an interpolation in it."""
    return text.partition("${")[0].rpartition("/")[0] if "${" in text else text


def search(value: Scalar, translation: Translation) -> Node | None:
    """Return what a sweep of Hydra (``0.1,0.2``, ``range(1,4)``, ``interval(0,1)``) is as a search; None for other forms."""
    from flambe.compile.override_value import comma_parts

    text = value.text.strip()
    interval = _INTERVAL.match(text)
    if interval:
        return _list("!uniform", [_value(number, value.position) for number in interval.groups()], value.position)
    span = _RANGE.match(text)
    if span:
        numbers = range(*(int(number) for number in span.groups() if number is not None))
        return _list("!g", [scalar_of(number, value.position) for number in numbers], value.position)
    choice = _CHOICE.match(text)
    parts = list(comma_parts(choice[1] if choice else text))
    if any(re.match(r"[A-Za-z_]+\(", part) for part in parts):
        return None
    items = [_value(part, value.position) for part in parts]
    return items[0] if len(items) == 1 else _list("!g", items, value.position)


def _value(text: str, position: Position) -> Node:
    found = documents(text, position.file)[0]
    if isinstance(found, Scalar):
        value = HYDRA.value(found)
        return (
            Scalar(None, position, found.text, True)
            if means_the_same(found, value) and found.plain
            else scalar_of(value, position)
        )
    return found


def _list(tag: str, items: list[Node], position: Position) -> Sequence:
    node = Sequence(tag, position)
    node.items = items
    return node
