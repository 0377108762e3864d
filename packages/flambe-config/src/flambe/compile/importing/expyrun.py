"""Files of expyrun → ours, which are nearly the same: YAML 1.1 → 1.2, and what was text because nobody could read it."""

from __future__ import annotations

import datetime
import os
import posixpath
import re

from flambe.cli.streams import read_text
from flambe.compile.importing import spelling
from flambe.compile.importing.comments import Comments
from flambe.compile.importing.dialect import EXPYRUN, means_the_same, read_mapping, scalar_of
from flambe.compile.importing.hydra import yaml_files
from flambe.compile.importing.translation import Translation
from flambe.compile.importing.writer import Writer
from flambe.compile.placeholder import Piece, Variable
from flambe.compile.yaml import Mapping, Node, Scalar, Sequence, documents, plain_value
from flambe.errors import ConfigError, Position

_OFF = re.compile(r"!P\s*")
# As expyrun reads texts: names have no digit 0 and begin with a letter.
_NAME = "[a-zA-Z][a-zA-Z1-9_]*"
_TOKEN = re.compile(rf"\{{(?P<path>[a-zA-Z1-9_.]+)\}}|\$(?P<bare>{_NAME})|\$\{{(?P<braced>{_NAME})\}}")
_NEARLY = re.compile(r"\{\s*[\w.-]+\s*(?::[^{}]*)?\}|\$\{?\w+\}?")


class ExpyrunFolder:
    """A folder of expyrun configs. out: where ours will be."""

    def __init__(self, folder: str, out: str, translation: Translation) -> None:
        self._folder = folder
        self._out = out
        self.translation = translation
        self._did: list[str] = []
        self._changed = False

    def translate(self) -> Translation:
        """Return the files that mean what the folder's files meant."""
        paths = sorted(yaml_files(self._folder))
        if not paths:
            raise ConfigError(f"{self._folder} holds no .yml or .yaml file", expected="a folder of expyrun configs")
        for path in paths:
            self._file(path)
        return self.translation

    def _file(self, path: str) -> None:
        file = posixpath.join(self._folder, path)
        text = read_text(file, what="config")
        self._did, self._changed = [], False
        self._note_duplicates(text, file)
        tree = self._mapping(read_mapping(text, file, EXPYRUN), (), path)
        comments = Comments(text)
        new = Writer({file: comments}).text(tree, below=comments.below) if self._changed else text
        self.translation.add(path, lambda _: new, (file,), self._did or ["is the same"])

    def _note_duplicates(self, text: str, file: str) -> None:
        for root in documents(text, file):
            stack: list[Node] = [root]
            while stack:
                node = stack.pop()
                if isinstance(node, Sequence):
                    stack += node.items
                elif isinstance(node, Mapping):
                    seen: set[str] = set()
                    for key, value in node.items:
                        name = key.text if isinstance(key, Scalar) else ""
                        if name in seen:
                            self._changed = True
                            self.translation.note(
                                key.position,
                                f"{name} is written twice; the last one counted",
                                "Nothing: the first is gone.",
                            )
                        seen.add(name)
                        stack.append(value)

    # Trees -----------------------------------------------------------------------------------------------------------

    def _mapping(self, node: Mapping, at: tuple[str, ...], path: str) -> Mapping:
        result = Mapping(None, node.position)
        for key, value in node.items:
            assert isinstance(key, Scalar)
            if at and key.text == "__default__":
                self.translation.note(
                    key.position,
                    f"{'.'.join(at)}.__default__ was a value like others, and names parents here",
                    "Give the key another name.",
                    left=True,
                )
            if not at and key.text == "__default__":
                result.items.append((key, self._parents(value, path)))
                continue
            parts = key.text.split(".")
            if all(parts) and len(parts) > 1:
                self._change("keys with dots are maps in maps")
                _put(result, parts, key, self._node(value, (*at, *parts), path))
                continue
            if isinstance(value, Mapping) and not value.items:
                self.translation.note(
                    value.position, f"{'.'.join((*at, key.text))} is empty, which expyrun left out", "Remove it."
                )
            result.items.append((self._key(key), self._node(value, (*at, key.text), path)))
        return result

    def _key(self, key: Scalar) -> Scalar:
        if not isinstance(EXPYRUN.value(key), str) or not isinstance(plain_value(key.text) if key.plain else "", str):
            self._change("keys are text")
            value = EXPYRUN.value(key)
            return Scalar(None, key.position, str(value) if not isinstance(value, str) else value, False)
        return key

    def _node(self, node: Node, at: tuple[str, ...], path: str) -> Node:
        if isinstance(node, Mapping):
            return self._mapping(node, at, path)
        if isinstance(node, Sequence):
            if any(isinstance(item, Mapping) for item in node.items):
                self.translation.note(
                    node.position,
                    f"{'.'.join(at)} is a list of maps, whose references and variables expyrun did not follow",
                    "Nothing, unless a text in it has to stay as it is: write !P before it.",
                )
            result = Sequence(None, node.position)
            result.items = [self._node(item, at, path) for item in node.items]
            return result
        assert isinstance(node, Scalar)
        return self._scalar(node, at)

    def _change(self, what: str) -> None:
        self._changed = True
        self._did.append(what)

    def _parents(self, node: Node, path: str) -> Node:
        """Return the paths of a ``__default__`` as they have to be written in the output folder."""
        if isinstance(node, Sequence):
            result = Sequence(None, node.position)
            result.items = [self._parents(item, path) for item in node.items]
            return result
        if not isinstance(node, Scalar) or not node.text.startswith("."):
            return node
        file = node.text if node.text.startswith(("./", "../")) else f"./{node.text}"
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
        if inside.startswith("../"):
            own = posixpath.dirname(posixpath.join(os.path.abspath(self._out), path))
            file = os.path.relpath(posixpath.join(os.path.abspath(self._folder), inside), own)
        if file == node.text:
            return node
        self._change("__default__ leads to the same files")
        return Scalar(None, node.position, file if file.startswith("../") else f"./{file.removeprefix('./')}", False)

    # Scalars ---------------------------------------------------------------------------------------------------------

    def _scalar(self, node: Scalar, at: tuple[str, ...]) -> Scalar:
        value = EXPYRUN.value(node)
        if isinstance(value, str):
            return self._text(value, node)
        if node.tag is None and means_the_same(node, value):
            return node
        here = plain_value(node.text) if node.plain else node.text
        if isinstance(value, datetime.date):
            self.translation.note(
                node.position, f"{node.text} was a date, and is text here", "Read it with datetime in your function."
            )
        elif node.tag is None:
            self.translation.note(
                node.position,
                f"{node.text} was read as {_yaml(value)}, and would be {_yaml(here)} here",
                f"Nothing: {_yaml(value)} is written; put {node.text!r} in its place if that was meant.",
            )
        self._change("values that YAML 1.2 reads in another way are written anew")
        return scalar_of(value, node.position)

    def _text(self, text: str, node: Scalar) -> Scalar:
        if node.plain and not isinstance(plain_value(text), str):
            self.translation.note(
                node.position,
                f"{text} was text, and is a number here",
                "Put it in quotes if it has to stay text.",
            )
            return node
        if text.startswith("!P"):
            self._change("!P is a tag")
            return Scalar("!P", node.position, _OFF.sub("", text, count=1), False)
        pieces: list[str | Piece] = []
        last = 0
        for match in _TOKEN.finditer(text):
            pieces.append(text[last : match.start()])
            last = match.end()
            name = match["bare"] or match["braced"]
            pieces.append(Piece(name, Variable(name, None)) if name else Piece(match["path"], None))
        pieces = [piece for piece in [*pieces, text[last:]] if piece != ""]
        for piece in pieces:
            for near in _NEARLY.findall(piece) if isinstance(piece, str) else ():
                if near.startswith(("$", "{")) and spelling.literal(near, node.position).tag is not None:
                    self.translation.note(
                        node.position,
                        f"{near} stayed text in expyrun, whose names have no 0 and begin with a letter",
                        f"Nothing, or write {near} if the value was meant.",
                    )
        if all(isinstance(piece, str) for piece in pieces):
            made = spelling.literal(text, node.position, plain=node.plain)
            if made.tag is not None:
                self._change("texts that would be read as references are marked with !P")
            return made if made.tag is not None else node
        try:
            written = spelling.spelled(pieces)
        except spelling.NoSpelling as reason:
            self.translation.note(
                node.position, f"{text!r} cannot be taken over: {reason}", "Write it anew.", left=True
            )
            self._change("what has no words here is marked with !required")
            return spelling.required(text, node.position)
        if spelling.same(written, text):
            return node
        self._change("braces and dollars that are text are doubled")
        return Scalar(None, node.position, written, False)


def _put(tree: Mapping, parts: list[str], key: Scalar, value: Node) -> None:
    for part in parts[:-1]:
        inner = next((item for name, item in tree.items if isinstance(name, Scalar) and name.text == part), None)
        if not isinstance(inner, Mapping):
            inner = Mapping(None, key.position)
            tree.items.append((Scalar(None, key.position, part, True), inner))
        tree = inner
    tree.items.append((Scalar(None, key.position, parts[-1], True), value))


def _yaml(value: object) -> str:
    written = scalar_of(value, Position("", 0, 0))
    return written.text if written.plain else f"the text {written.text!r}"
