"""Values → YAML text with tags, as people write it. Reading it again gives the same value."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

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
    NOTES,
    TAG,
    YAML,
    Path,
    arguments,
    kind_of,
    link_target,
)

if TYPE_CHECKING:
    from flambe.compile.comments import Notes

_SAFE = re.compile(r"[A-Za-z0-9_./~$^(+\-][^\n\r\t\0-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]*\Z")
_WIDTH = 100
_NO_NOTES: Notes = {}
_FLOATS = {"NaN": ".nan", "Infinity": ".inf", "-Infinity": "-.inf"}


def node_to_yaml(node: Any) -> str:
    """Return the YAML text of a node-form value (a body of a spec, a saved component's config), ending in a newline.

    ``$new`` gets its short tag where one is installed, else ``!module.Class``; ``$saved`` and ``$result`` of saved
    components are written ``!saved`` and ``!result``.
    """
    return _NodeWriter().text(node)


def object_to_yaml(obj: Any) -> str:
    """Return the YAML text of a Schema, of an object that remembers its arguments, or of plain data.

    Tags and comments are those that the text had which it was read from. A Schema that stands twice is written once, with an
    anchor. Raises TypeError for anything else.
    """
    from flambe.build.schema_node import NodeWriter

    node = NodeWriter(as_text=True).node_of(obj, ())
    return _NodeWriter(_anchors(node)).text(node)


def with_header(text: str, obj: Any) -> str:
    """Return a YAML text with the extensions before it that a Schema or a runnable uses."""
    from flambe.build.schema import Schema

    used = obj.aggregate_extensions_metadata() if isinstance(obj, Schema) else getattr(obj, "extensions", None)
    return f"{node_to_yaml(used)}---\n{text}" if used and isinstance(used, dict) else text


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


class _NodeWriter:
    """Writes node forms. names: id of a dict that stands at several places → its anchor."""

    def __init__(self, names: dict[int, str] | None = None) -> None:
        self._names = names or {}
        self._written: set[int] = set()

    def text(self, node: Any) -> str:
        head, lines = self.block(node)
        notes = _notes(node)
        above, beside, after = _around(notes, ())
        first = [_with_comment(head, beside)] if head or beside else []
        return "\n".join(line.rstrip() for line in [*above, *first, *lines, *after]) + "\n"

    def block(self, node: Any, notes: Notes = _NO_NOTES, path: Path = ()) -> tuple[str, list[str]]:
        """Return what stands beside the key (or dash), and the lines below it, not yet indented.

        notes, path: the comments of the component around, and the way from it to here.
        """
        kind = kind_of(node)
        if kind == NEW:
            return self._component(node)
        if kind == LINK:
            target = link_target(node)
            word = "!copy" if target.copy else "!call" if target.call else "!@"
            text = create_link_str(target.path, target.attr)
            return f"{word} {text if re.search(r'[#:]', text) is None else json.dumps(text)}", []
        if kind == GRID:
            return self._grid(node, notes, path)
        if kind in DISTRIBUTIONS:
            values = [*node[kind], *([node["transform"]] if "transform" in node else [])]
            return self._tagged(f"!{str(kind)[1:]}", values, notes, path)
        if kind == FILE:
            return f"!file {scalar(node[FILE])}", []
        if kind == ENV:
            return f"!env {scalar(node[ENV])}", []
        if kind == YAML:
            tag = str(node[YAML])
            shown = node.get(TAG) or (tag_of(tag.removeprefix("!")) if ":" in tag else tag)
            return self._tagged(shown, node["value"], notes, path)
        if kind == MAP:
            return self._mapping([(key, value) for key, value in node[MAP]], notes, path)
        if kind == FLOAT:
            return _FLOATS[node[FLOAT]], []
        if kind == BYTES:
            return f'!!binary "{node[BYTES]}"', []
        if kind is not None:  # the forms of saved components
            return self._tagged(f"!{kind[1:]}", node[kind], notes, path)
        if isinstance(node, dict):
            return self._mapping(list(node.items()), notes, path)
        if isinstance(node, list):
            return self._sequence(node, notes, path)
        return scalar(node), []

    def _grid(self, node: dict[str, Any], notes: Notes, path: Path) -> tuple[str, list[str]]:
        options = dict(zip(node["names"], node[GRID], strict=True)) if "names" in node else node[GRID]
        if "probs" in node:
            return self._tagged("!choice", {"options": options, "probs": node["probs"]}, notes, path)
        # A mapping whose first key is "options" would be read as the long form.
        if "options" in node.get("names", ()):
            options = {"options": options}
        return self._tagged("!choice" if "names" in node else "!g", options, notes, path)

    def _component(self, node: dict[str, Any]) -> tuple[str, list[str]]:
        mark = self._names.get(id(node))
        if mark is not None and id(node) in self._written:
            return f"*{mark}", []
        self._written.add(id(node))
        tag = f"{'' if mark is None else f'&{mark} '}{node.get(TAG) or tag_of(node[NEW])}"
        given = arguments(node)
        positional = node.get(ARGS, [])
        if positional and not given:
            return self._tagged(tag, positional, _notes(node), ())
        if not given:
            return tag, []
        head, lines = self._mapping([*enumerate(positional), *given.items()], _notes(node), ())
        return f"{tag} {head}".rstrip(), lines

    def _tagged(self, tag: str, value: Any, notes: Notes, path: Path) -> tuple[str, list[str]]:
        head, lines = self.block(value, notes, path)
        if head.startswith(("!", "&", "*")):  # a value has one tag: step into a list, which the reader sees as it is
            raise ValueError(f"{tag} cannot hold {head}")
        return f"{tag} {head}".rstrip(), lines

    def _mapping(self, pairs: list[tuple[Any, Any]], notes: Notes, path: Path) -> tuple[str, list[str]]:
        if not pairs:
            return "{}", []
        lines: list[str] = []
        for key, value in pairs:
            key_head, key_lines = self.block(key)
            if key_lines:
                raise ValueError("a key of a mapping is a single value")
            inside = (*path, str(key))
            above, beside, _ = _around(notes, inside)
            head, below = self.block(value, notes, inside)
            lines += above
            lines.append(_with_comment(f"{key_head}: {head}".rstrip(), beside))
            # A list may stand at its key's own indentation, yet people read it easier one step in.
            lines += ["  " + line for line in below]
        return "", lines

    def _sequence(self, items: list[Any], notes: Notes, path: Path) -> tuple[str, list[str]]:
        bare = not notes or not any((*path, index) in notes for index in range(len(items)))
        if bare and all(_is_scalar(item) for item in items):
            text = "[" + ", ".join(_flow(item) for item in items) + "]"
            if len(text) <= _WIDTH or not items:
                return text, []
        lines: list[str] = []
        for index, item in enumerate(items):
            above, beside, _ = _around(notes, (*path, index))
            head, below = self.block(item, notes, (*path, index))
            lines += above
            if head:
                lines.append(_with_comment(f"- {head}", beside))
                lines += ["  " + line for line in below]
            else:
                # What is above the first line of the item cannot stand between its dash and its text.
                first = next(number for number, line in enumerate(below) if not _is_comment(line))
                lines += below[:first]
                lines.append(_with_comment(f"- {below[first]}", beside))
                lines += ["  " + line for line in below[first + 1 :]]
        return "", lines


def _notes(node: Any) -> Notes:
    found: Notes = node.get(NOTES, _NO_NOTES) if kind_of(node) == NEW else _NO_NOTES
    return found


def _around(notes: Notes, path: Path) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Return the lines above, the comment beside and the lines below of what stands at ``path``."""
    note = notes.get(path)
    return ((), "", ()) if note is None else note


def _with_comment(line: str, comment: str) -> str:
    return f"{line}  {comment}".lstrip() if comment else line


def _is_comment(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _anchors(node: Any) -> dict[int, str]:
    """Return id → anchor of the components that stand at several places of a tree: one dict each."""
    seen: dict[int, str] = {}
    twice: dict[int, str] = {}

    def visit(value: Any, name: str) -> None:
        if isinstance(value, list | tuple):
            for item in value:
                visit(item, name)
        elif isinstance(value, dict):
            if kind_of(value) == NEW:
                if id(value) in seen:
                    twice.setdefault(id(value), seen[id(value)])
                    return
                seen[id(value)] = name
            for key, item in value.items():
                if key not in (TAG, NOTES, NEW):
                    visit(item, re.sub(r"\W", "", key) or name if key[:1] != "$" else name)

    visit(node, "object")
    taken: dict[str, int] = {}
    names: dict[int, str] = {}
    for one, name in twice.items():
        taken[name] = taken.get(name, 0) + 1
        names[one] = name if taken[name] == 1 else f"{name}_{taken[name]}"
    return names


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
            for key, value in node.items:
                self._find(key)
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
            # Inside of brackets a dash may stand alone; below a key it would begin a list.
            if node.plain and "\n" not in node.text and node.text[:1] not in ("-", "?", ":"):
                return node.text, []
            return scalar(plain_value(node.text)) if node.plain else scalar(node.text), []
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
            first, *rest = below if below and not head else [head, *below]
            lines.append(f"- {first}".rstrip())
            lines += ["  " + line for line in rest]
        return "", lines


def _flow_scalar(node: Node) -> str:
    assert isinstance(node, Scalar)
    return scalar(plain_value(node.text), flow=True) if node.plain else scalar(node.text, flow=True)
