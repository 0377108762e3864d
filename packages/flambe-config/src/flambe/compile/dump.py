"""Values → YAML text with tags, as people write it. Reading it again gives the same value."""

from __future__ import annotations

import json
import re
from typing import Any

from flambe.build.link import create_link_str
from flambe.compile.tags import tag_of
from flambe.compile.yaml import STANDARD, Alias, Mapping, Node, Scalar, Sequence, plain_value
from flambe.spec.nodes import (
    ARGS,
    BYTES,
    DISTRIBUTIONS,
    ENV,
    FILE,
    FLOAT,
    GRID,
    LINK,
    MAP,
    NEW,
    YAML,
    arguments,
    kind_of,
    link_target,
)

_SAFE = re.compile(r"[A-Za-z0-9_./~$^(+\-][^\n\r\t\0-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]*\Z")
_WIDTH = 100
_FLOATS = {"NaN": ".nan", "Infinity": ".inf", "-Infinity": "-.inf"}


def node_to_yaml(node: Any) -> str:
    """Return the YAML text of a node-form value (a body of a spec, a saved component's config), ending in a newline.

    ``$new`` gets its short tag where one is installed, else ``!module.Class``; ``$saved`` and ``$result`` of saved
    components are written ``!saved`` and ``!result``.
    """
    head, lines = _block(node)
    return "\n".join([head, *lines] if head else lines) + "\n"


def object_to_yaml(obj: Any) -> str:
    """Return the YAML text of a Schema, of a built component (its arguments as given), or of plain data.

    Raises TypeError for anything else.
    """
    from flambe.build.schema import node_of

    return node_to_yaml(node_of(obj))


def scalar(value: Any, *, flow: bool = False) -> str:
    """Return the YAML text of None, a bool, a number or text. flow: it will stand inside ``[ ]`` or ``{ }``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    return _text(str(value), flow)


def _text(text: str, flow: bool) -> str:
    if (
        _SAFE.match(text)
        and isinstance(plain_value(text), str)
        and not text.endswith((" ", ":"))
        and ": " not in text
        and " #" not in text
        and not (text[0] == "-" and (len(text) == 1 or text[1] in " \t"))
        and not text.startswith(("---", "..."))
        and not (flow and any(character in ",[]{}:" for character in text))
    ):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _block(node: Any) -> tuple[str, list[str]]:
    """Return what stands beside the key (or dash), and the lines below it, not yet indented."""
    kind = kind_of(node)
    if kind == NEW:
        return _component(node)
    if kind == LINK:
        target = link_target(node)
        word = "!copy" if target.copy else "!call" if target.call else "!@"
        text = create_link_str(target.path, target.attr)
        return f"{word} {text if re.search(r'[#:]', text) is None else json.dumps(text)}", []
    if kind == GRID:
        return _grid(node)
    if kind in DISTRIBUTIONS:
        return _tagged(f"!{str(kind)[1:]}", [*node[kind], *([node["transform"]] if "transform" in node else [])])
    if kind == FILE:
        return f"!file {scalar(node[FILE])}", []
    if kind == ENV:
        return f"!env {scalar(node[ENV])}", []
    if kind == YAML:
        tag = str(node[YAML])
        return _tagged(tag_of(tag.removeprefix("!")) if ":" in tag else tag, node["value"])
    if kind == MAP:
        return _mapping([(key, value) for key, value in node[MAP]])
    if kind == FLOAT:
        return _FLOATS[node[FLOAT]], []
    if kind == BYTES:
        return f'!!binary "{node[BYTES]}"', []
    if kind is not None:  # the forms of saved components
        return _tagged(f"!{kind[1:]}", node[kind])
    if isinstance(node, dict):
        return _mapping(list(node.items()))
    if isinstance(node, list):
        return _sequence(node)
    return scalar(node), []


def _grid(node: dict[str, Any]) -> tuple[str, list[str]]:
    options = dict(zip(node["names"], node[GRID], strict=True)) if "names" in node else node[GRID]
    if "probs" in node:
        return _tagged("!choice", {"options": options, "probs": node["probs"]})
    # A mapping whose first key is "options" would be read as the long form.
    if "options" in node.get("names", ()):
        options = {"options": options}
    return _tagged("!choice" if "names" in node else "!g", options)


def _component(node: dict[str, Any]) -> tuple[str, list[str]]:
    tag = tag_of(node[NEW])
    given = arguments(node)
    positional = node.get(ARGS, [])
    if positional and not given:
        return _tagged(tag, positional)
    if not given:
        return tag, []
    head, lines = _mapping([*enumerate(positional), *given.items()])
    return f"{tag} {head}".rstrip(), lines


def _tagged(tag: str, value: Any) -> tuple[str, list[str]]:
    head, lines = _block(value)
    if head.startswith(("!", "&")):  # a value has one tag: step into a list, which the reader sees as it is
        raise ValueError(f"{tag} cannot hold {head}")
    return f"{tag} {head}".rstrip(), lines


def _mapping(pairs: list[tuple[Any, Any]]) -> tuple[str, list[str]]:
    if not pairs:
        return "{}", []
    lines: list[str] = []
    for key, value in pairs:
        key_head, key_lines = _block(key)
        if key_lines:
            raise ValueError("a key of a mapping is a single value")
        head, below = _block(value)
        lines.append(f"{key_head}: {head}".rstrip())
        # A list may stand at its key's own indentation, yet people read it easier one step in.
        lines += ["  " + line for line in below]
    return "", lines


def _sequence(items: list[Any]) -> tuple[str, list[str]]:
    if all(_is_scalar(item) for item in items):
        text = "[" + ", ".join(_flow(item) for item in items) + "]"
        if len(text) <= _WIDTH or not items:
            return text, []
    lines: list[str] = []
    for item in items:
        head, below = _block(item)
        if head:
            lines.append(f"- {head}")
            lines += ["  " + line for line in below]
        else:
            lines.append(f"- {below[0]}")
            lines += ["  " + line for line in below[1:]]
    return "", lines


def _is_scalar(item: Any) -> bool:
    if isinstance(item, list):
        return all(_is_scalar(part) for part in item)
    return not isinstance(item, dict) or kind_of(item) == FLOAT


def _flow(item: Any) -> str:
    if isinstance(item, list):
        return "[" + ", ".join(_flow(part) for part in item) + "]"
    if isinstance(item, dict):
        return _FLOATS[item[FLOAT]]
    return scalar(item, flow=True)


# Trees: a config as it was written, after overrides --------------------------------------------------------------------


def tree_to_yaml(header: Node | None, tree: Node) -> str:
    """Return the YAML text of a config's trees, aliases kept as aliases (their names may change)."""
    writer = _TreeWriter()
    parts = ([writer.text(header), "---\n"] if header is not None else []) + [writer.text(tree)]
    return "".join(parts)


class _TreeWriter:
    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._written: set[int] = set()

    def text(self, tree: Node) -> str:
        self._find(tree)
        head, lines = self._block(tree)
        return "\n".join([head, *lines] if head else lines) + "\n"

    def _find(self, node: Node) -> None:
        if isinstance(node, Alias):
            self._names.setdefault(id(node.target), node.name)
        elif isinstance(node, Mapping):
            for _, value in node.items:
                self._find(value)
        elif isinstance(node, Sequence):
            for value in node.items:
                self._find(value)

    def _block(self, node: Node) -> tuple[str, list[str]]:
        if isinstance(node, Alias):
            if id(node.target) in self._written:
                return f"*{self._names[id(node.target)]}", []
            node = node.target  # the anchored one was overridden away: this is the first now
        marks = []
        if id(node) in self._names:
            self._written.add(id(node))
            marks.append(f"&{self._names[id(node)]}")
        if node.tag is not None:
            marks.append(f"!!{node.tag.removeprefix(STANDARD)}" if node.tag.startswith(STANDARD) else node.tag)
        head, lines = self._bare(node)
        return " ".join([*marks, head]).rstrip(), lines

    def _bare(self, node: Node) -> tuple[str, list[str]]:
        if isinstance(node, Scalar):
            if node.plain:
                return (node.text if "\n" not in node.text else json.dumps(node.text)), []
            return scalar(node.text), []
        if isinstance(node, Mapping):
            if not node.items:
                return "{}", []
            lines: list[str] = []
            for key, value in node.items:
                head, below = self._block(value)
                lines.append(f"{self._block(key)[0]}: {head}".rstrip())
                lines += ["  " + line for line in below]
            return "", lines
        assert isinstance(node, Sequence)
        if all(isinstance(item, Scalar) and item.tag is None for item in node.items):
            return "[" + ", ".join(_flow_scalar(item) for item in node.items) + "]", []
        lines = []
        for item in node.items:
            head, below = self._block(item)
            lines.append(f"- {head}" if head else f"- {below[0]}")
            lines += ["  " + line for line in (below if head else below[1:])]
        return "", lines


def _flow_scalar(node: Node) -> str:
    assert isinstance(node, Scalar)
    return scalar(plain_value(node.text), flow=True) if node.plain else scalar(node.text, flow=True)
