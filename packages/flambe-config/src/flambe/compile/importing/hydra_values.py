"""Values of Hydra and mlxp configs → ours: YAML 1.1 scalars, ``${…}``, ``???`` and ``_target_``."""

from __future__ import annotations

from flambe.compile.importing import spelling
from flambe.compile.importing.dialect import HYDRA, means_the_same, scalar_of
from flambe.compile.importing.interpolation import Call, Part, Reference, Unknown, absolute, parse
from flambe.compile.importing.program import Program
from flambe.compile.importing.translation import Translation
from flambe.compile.placeholder import Piece
from flambe.compile.tags import resolve
from flambe.compile.yaml import STANDARD, Mapping, Node, Scalar, Sequence
from flambe.errors import ConfigError, Position

Path = tuple[str | int, ...]

_RESOLVERS = {
    "now": "Runs are numbered, and each keeps its time; leave the date out.",
    "hydra": "Write the value itself; $FLAMBE_CWD is the folder that the command was started in.",
    "oc.select": "Write {key}, and the key with its default in the file.",
    "oc.create": "Write the value itself.",
    "oc.dict.keys": "Write the list of keys.",
    "oc.dict.values": "Write the list of values.",
    "oc.decode": "Write ${NAME} alone: a variable that is the whole value is read as YAML.",
}
_TEXTS = {"null": ("null", "None"), "true or false": ("true", "True"), "a list": ("[1,2]", "[1, 2]")}
"""How a value looks inside of a text: here, and in OmegaConf."""

_OPTIONS = ("_partial_", "_args_", "_recursive_", "_convert_")


class Values:
    """Translates the content of configs. as_tags: whether ``_target_`` becomes a tag, else it stays data."""

    def __init__(self, translation: Translation, program: Program, *, as_tags: bool = False) -> None:
        self._translation = translation
        self._program = program
        self._as_tags = as_tags
        self._did: list[str] = []
        self._inside: list[tuple[tuple[str, ...], Position]] = []
        self._kinds: dict[tuple[str, ...], str] = {}

    def did(self) -> list[str]:
        """Return what was done since this was asked last."""
        did, self._did = self._did, []
        return did

    def tree(self, body: Mapping, at: Path) -> Mapping:
        """Return the translation of a config's content. at: where it stands."""
        tree = self.node(body, at)
        assert isinstance(tree, Mapping)
        return tree

    def node(self, node: Node, at: Path) -> Node:
        """Return the translation of a value. at: its path from the top of the config."""
        if isinstance(node, Scalar):
            return self._scalar(node, at)
        if isinstance(node, Sequence):
            self._kinds[tuple(map(str, at))] = "a list"
            items = Sequence(None, node.position)
            items.items = [self.node(item, (*at, index)) for index, item in enumerate(node.items)]
            return items
        assert isinstance(node, Mapping)
        return self._mapping(node, at)

    def _mapping(self, node: Mapping, at: Path) -> Mapping:
        keys = {key.text: value for key, value in node.items if isinstance(key, Scalar)}
        result = Mapping(None, node.position)
        target = keys.get("_target_")
        if isinstance(target, Scalar):
            result.tag = self._tag(target, keys)
        for key, value in node.items:
            assert isinstance(key, Scalar)
            if result.tag is not None and key.text in ("_target_", *_OPTIONS):
                if key.text == "_args_" and isinstance(value, Sequence):
                    for index, item in enumerate(value.items):
                        number = Scalar(None, item.position, str(index), True)
                        result.items.append((number, self.node(item, (*at, "_args_", index))))
                continue
            result.items.append((self._key(key), self.node(value, (*at, key.text))))
        return result

    def _key(self, key: Scalar) -> Scalar:
        value = HYDRA.value(key)
        return (
            Scalar(None, key.position, key.text, key.plain)
            if means_the_same(key, value)
            else scalar_of(value, key.position)
        )

    def _scalar(self, node: Scalar, at: Path) -> Node:
        value = HYDRA.value(node)
        if not isinstance(value, str):
            kind = {type(None): "null", bool: "true or false"}.get(type(value))
            if kind is not None:
                self._kinds[tuple(map(str, at))] = kind
            if means_the_same(node, value) and node.tag is None:
                return Scalar(None, node.position, node.text, True)
            self._did.append("values that YAML 1.2 reads in another way are written anew")
            return scalar_of(value, node.position)
        if value == "???":
            return self._missing(node, at)
        if "${" in value:
            return self._text(value, node, at)
        return spelling.literal(value, node.position, plain=node.plain)

    def _missing(self, node: Scalar, at: Path) -> Node:
        key = ".".join(map(str, at))
        self._translation.note(
            node.position, f"{key} has no value yet (???)", f"Write one, or give it each time: {key}=VALUE."
        )
        return spelling.required("???", node.position)

    # Interpolations ------------------------------------------------------------------------------------------------

    def _text(self, text: str, node: Scalar, at: Path) -> Node:
        parts = parse(text)
        pieces: list[str | Piece] = []
        try:
            for part in parts:
                pieces.append(self._piece(part, node, at, alone=len(parts) == 1))
            written = spelling.spelled(pieces)
        except spelling.NoSpelling as reason:
            part = parts[min(len(pieces), len(parts) - 1)]
            shown = part if isinstance(part, str) else part.text
            self._translation.note(node.position, f"{shown!r} cannot be taken over: {reason}", _remedy(part), left=True)
            return spelling.required(text, node.position)
        if any(not isinstance(piece, str) for piece in pieces):
            self._did.append("${…} is {…} now")
        if len(pieces) > 1:
            self._inside += [
                (tuple(piece.name.split(".")), node.position)
                for piece in pieces
                if not isinstance(piece, str) and piece.variable is None
            ]
        return Scalar(None, node.position, written, False)

    def _piece(self, part: Part, node: Scalar, at: Path, *, alone: bool) -> str | Piece:
        if isinstance(part, str):
            return part
        if isinstance(part, Reference):
            return spelling.reference(absolute(part, at))
        if isinstance(part, Unknown):
            raise spelling.NoSpelling("its meaning is known only when the program runs")
        if part.name == "oc.env" and part.arguments:
            return self._variable(part, node, alone=alone)
        if part.name == "oc.decode" and len(part.arguments) == 1 and alone:
            inner = parse(part.arguments[0])
            if len(inner) == 1 and isinstance(inner[0], Call) and inner[0].name == "oc.env":
                return self._variable(inner[0], node, alone=False)
        if part.name == "oc.deprecated" and part.arguments:
            return spelling.reference(tuple(part.arguments[0].split(".")))
        known = part.name in _RESOLVERS or part.name.startswith("oc.")
        raise spelling.NoSpelling(
            "there is no such function here" if known else f"{part.name} is a function of your program"
        )

    def _variable(self, call: Call, node: Scalar, *, alone: bool) -> Piece:
        name, *defaults = call.arguments
        if defaults and defaults[0] == "null" and not call.quoted[1]:
            raise spelling.NoSpelling("a variable has text, and no null, where it is not set")
        if alone:
            self._translation.note(
                node.position,
                f"{call.text} is text in OmegaConf; a variable that is the whole value is read as a value here",
                f"Nothing, unless {name} can look like a number, true or false and has to stay text.",
            )
        return spelling.variable(name, defaults[0] if defaults else None)

    def note_texts(self) -> None:
        """Note the references inside of longer text whose value looks different there."""
        for path, position in self._inside:
            kind = self._kinds.get(path)
            if kind is not None:
                self._translation.note(
                    position,
                    f"{{{'.'.join(path)}}} is {kind}, which reads {_TEXTS[kind][0]} inside of a text and not {_TEXTS[kind][1]}",
                    "Write the value as text, in quotes, where the difference matters.",
                )

    # Targets -----------------------------------------------------------------------------------------------------

    def _tag(self, target: Scalar, keys: dict[str, Node]) -> str | None:
        """Return the tag for a ``_target_``; None where it has to stay data, with a note that says why."""
        if not self._as_tags:
            self._translation.note(
                target.position,
                f"_target_: {target.text} stays data, which your function gets",
                "It can instantiate it as before; or write a tag and --targets tags, which builds the object first.",
            )
            return None
        reason = None
        if "${" in target.text:
            reason = "its class is known only when the program runs"
        elif _is(keys.get("_partial_"), True):
            reason = "there is no partial call (_partial_)"
        elif _is(keys.get("_recursive_"), False):
            reason = "all components below one are built first (_recursive_)"
        else:
            try:
                return f"!{self._short(target.text)}"
            except ConfigError as error:
                reason = str(error)
        self._translation.note(
            target.position,
            f"_target_: {target.text} stays data: {reason}",
            "Build it in your function, or write a class method that makes it and name that as the tag.",
        )
        return None

    def _short(self, target: str) -> str:
        """Return the tag of a dotted import path. Raises ConfigError when a config may not reach it."""
        extensions = self._program.extension(target.partition(".")[0])
        resolve(target, self._program.library, extensions)
        if target.startswith("torch."):
            short = f"torch.{target.rpartition('.')[2]}"
            try:
                if resolve(short, self._program.library, extensions) == resolve(
                    target, self._program.library, extensions
                ):
                    return short
            except ConfigError:
                return target
        return target

    def modules(self, tree: Node) -> set[str]:
        """Return the top-level modules that the tags of a tree come from."""
        found: set[str] = set()
        if isinstance(tree, Mapping):
            for _, value in tree.items:
                found |= self.modules(value)
        elif isinstance(tree, Sequence):
            for value in tree.items:
                found |= self.modules(value)
        if isinstance(tree, Mapping) and tree.tag and "." in tree.tag and not tree.tag.startswith(STANDARD):
            found.add(tree.tag.removeprefix("!").partition(".")[0])
        return found


def _is(node: Node | None, wanted: bool) -> bool:
    return isinstance(node, Scalar) and HYDRA.value(node) is wanted


def _remedy(part: Part) -> str:
    if isinstance(part, Call):
        is_known = part.name.startswith("oc.")
        return _RESOLVERS.get(
            part.name,
            "Write the value itself." if is_known else "Compute it in your function, or write the value itself.",
        )
    return "Write the value itself."
