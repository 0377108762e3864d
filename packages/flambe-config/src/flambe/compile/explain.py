"""Where a value of a config comes from: where it was written, what set it since, and what stands in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from flambe.build.link import MalformedLinkError, parse_link_str
from flambe.compile.compiler import Compiled
from flambe.compile.compose import Composer
from flambe.compile.document import is_marked, whole_path
from flambe.compile.dump import tree_to_yaml
from flambe.compile.override import OverridePosition, apply_each
from flambe.compile.reference import LINK_TAGS
from flambe.compile.yaml import Alias, Mapping, Node, Scalar, child
from flambe.compile.yaml import Sequence as Many
from flambe.errors import ConfigError, Position, UsageError, did_you_mean


class Step(NamedTuple):
    """One thing that set the value, or that leads to it. position: None for an override."""

    position: Position | None
    override: str | None
    words: str

    def __str__(self) -> str:
        return f"{self.position if self.override is None else f'override {self.override!r}'}: {self.words}"


class Explained(NamedTuple):
    """A key, its value now as YAML (None when it is not written), and the steps that led to it, the last one counts."""

    key: str
    value: str | None
    steps: list[Step]

    def text(self) -> str:
        """Return it for people."""
        if self.value is None:
            head = f"{self.key} is not written"
        elif "\n" not in self.value:
            head = f"{self.key} = {self.value}"
        else:
            beside = " " if self.value.startswith(("!", "&")) else "\n  "
            head = f"{self.key}:{beside}" + self.value.replace("\n", "\n  ")
        return "\n".join([head, *map(str, self.steps)])

    def document(self) -> dict[str, Any]:
        """Return it as JSON data."""
        steps = []
        for step in self.steps:
            place = step.position or Position("", 0, 0)
            where = {"override": step.override} if step.override else {"file": place.file, "line": place.line, "column": place.column}  # fmt: skip
            steps.append({**where, "value": step.words})
        return {"key": self.key, "value": self.value, "steps": steps}


def explain(compiled: Compiled, key: str, text: str, file: str, overrides: Sequence[str]) -> Explained:
    """Explain ``key``: a dotted path, where a stage needs no ``pipeline`` in front and an index names an item of a list.

    text, file: what was compiled. Raises ``UsageError`` with the nearest key for one that is not there.
    """
    path = key.split(".")
    composer = Composer([])
    tree = composer.config(text, file).tree
    refers = not is_marked(tree)
    found = _find(tree, path)
    steps: list[Step] = []
    if found is not None:
        steps += [*found.way, *_written(composer, found.node)]
    shown = _text(found.node) if found is not None else None
    for override in apply_each(tree, overrides, composer):
        now = _find(tree, path)
        value = _text(now.node) if now is not None else None
        if value != shown or (now and found and now.node.position != found.node.position):
            steps.append(Step(None, override, "taken away" if now is None else _short(now.node)))
        found, shown = now, value
    if found is None and not steps:
        default = _default(compiled, path) or _parameter(compiled, tree, path)
        if default is None:
            raise _unknown(tree, key)
        return Explained(key, None, [default])
    if (
        refers
        and found is not None
        and isinstance(found.node, Scalar)
        and ("{" in found.node.text or "$" in found.node.text)
    ):
        from flambe.compile.interpolate import Interpolation

        interpolation = Interpolation(tree, [])
        steps += [Step(position, _override_at(position), words) for position, words in interpolation.trace(found.node)]
        value_now = interpolation.peek(found.node)
        shown = shown if value_now is None else _text(value_now)
    return Explained(key, shown, steps)


def _written(composer: Composer, node: Node) -> list[Step]:
    """Return where a value was written: in the first of the parents that have it, in those that beat it, in the file."""
    steps: list[Step] = []
    while True:
        _, before = composer.replaced.get(id(node), (None, None))
        if not (before is not None and before.position == node.position):
            steps.append(Step(node.position, None, _short(node)))
        if before is None:
            return steps[::-1]
        node = before


def _override_at(position: Position) -> str | None:
    """Return the override that a position is in, None for one of a file."""
    return position.file.removeprefix("override ").strip("'") if isinstance(position, OverridePosition) else None


class _Found(NamedTuple):
    node: Node
    way: list[Step]


def _find(tree: Node, path: Sequence[str], depth: int = 0) -> _Found | None:
    """Return the node at a path, and the aliases and links that lie on the way."""
    path = whole_path(tree, path)
    node = tree
    way: list[Step] = []
    for index, key in enumerate(path):
        inner = child(node, key)
        if inner is None:
            target = _linked(node)
            if target is None or depth > 20 or index == 0:
                return None
            way.append(Step(node.position, None, f"{_key(path[:index])} is a link to {_key(target)}"))
            rest = _find(tree, [*target, *path[index:]], depth + 1)
            return None if rest is None else _Found(rest.node, [*way, *rest.way])
        if isinstance(inner, Alias):
            way.append(Step(inner.position, None, f"{_key(path[: index + 1])} is the alias *{inner.name}"))
            inner = inner.target
        node = inner
    return _Found(node, way)


def _linked(node: Node) -> list[str] | None:
    """Return the config path that a link stands for; None for other nodes, and for links to what objects make."""
    if not isinstance(node, Scalar) or (node.tag or "").removeprefix("!") not in LINK_TAGS:
        return None
    try:
        path, attributes = parse_link_str(node.text)
    except MalformedLinkError:
        return None
    return None if attributes else [str(part) for part in path]


def _key(path: Sequence[str]) -> str:
    return ".".join(path[1:] if path[0] in ("pipeline", "stages") and len(path) > 1 else path)


def _text(node: Node) -> str:
    return tree_to_yaml(None, node).rstrip("\n")


def _short(node: Node) -> str:
    first, _, rest = _text(node).partition("\n")
    return f"{first} …" if rest else first


def _keys(node: Node, path: list[str]) -> Iterator[list[str]]:
    """Yield every path of a tree. What an alias brings again is left out: a bomb of them would never end."""
    if isinstance(node, Mapping):
        for name, value in node.items:
            bare = name.target if isinstance(name, Alias) else name
            if isinstance(bare, Scalar):
                yield [*path, bare.text]
                yield from _keys(value, [*path, bare.text])
    elif isinstance(node, Many):
        for index, value in enumerate(node.items):
            yield from _keys(value, [*path, str(index)])


def _unknown(tree: Node, key: str) -> ConfigError:
    known = [_key(path) for path in _keys(tree, [])]
    last = key.rpartition(".")[2]
    same = [one for one in known if one.rpartition(".")[2] == last]
    hint = did_you_mean(key, known)
    if len(same) == 1:
        hint = f"Did you mean {same[0]!r}?"
    elif same and hint is None:
        hint = f"There are {', '.join(same[:5])}."
    return UsageError(f"there is no value called {key!r}", hint=hint)


def _parameter(compiled: Compiled, tree: Node, path: Sequence[str]) -> Step | None:
    """Return the default of a parameter of the experiment that is not written."""
    from flambe.compile.annotations import written
    from flambe.compile.experiment import EXPERIMENT, PIPELINE

    known = {"!Experiment": EXPERIMENT, "!Pipeline": PIPELINE}.get(tree.tag or "", ())
    if len(path) != 1 or path[0] not in known:
        return None
    value = getattr(compiled.spec, "output_dir" if path[0] == "save_path" else path[0], None)
    shown = value if isinstance(value, str) else "nothing" if value is None or value == [] else written(value)
    return Step(tree.position, None, f"the default of {tree.tag} is {shown}")


def _default(compiled: Compiled, path: Sequence[str]) -> Step | None:
    """Return the default of an argument that is not written, where the source of its class tells it."""
    from flambe.compile.defaults import default_of
    from flambe.spec.nodes import NEW, children, kind_of

    stage = next((stage for stage in compiled.spec.stages if stage.name == path[0]), None)
    node: Any = None if stage is None else stage.body
    for key in path[1:-1]:
        node = next((part for name, part in children(node) if str(name) == key), None)
    if len(path) < 2 or kind_of(node) != NEW:
        return None
    found = default_of(node[NEW], path[-1], compiled.library)
    if found is None:
        return None
    position, default, name = found
    return Step(position, None, f"the default of {name} is {default}")
