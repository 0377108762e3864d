"""A config file as one has it: its header, its tree, and whether its texts refer to something."""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import NamedTuple

from flambe.compile.yaml import Mapping, Node, Scalar, bared, child, documents, text_of, value_of
from flambe.errors import ConfigError

RESOLVED = "__resolved__"
"""The key that marks a config whose references are followed already."""


class Document(NamedTuple):
    """A config file. header: its first document, where there are two."""

    header: Node | None
    tree: Node


def split(text: str, file: str) -> Document:
    """Return the documents of a config. Raises ``ConfigError`` when there is none, or more than a header and one."""
    found = documents(text, file)
    if not found:
        raise ConfigError(f"{file} is empty", rule="empty-file", expected="an object to run, such as !Experiment")
    if len(found) > 2:
        raise ConfigError(
            f"{file} holds {len(found)} documents",
            rule="too-many-documents",
            position=found[2].position,
            expected="one, or a header and one, separated by '---'",
        )
    header, tree = found[0] if len(found) == 2 else None, found[-1]
    if header is not None and tree.tag is None:
        if isinstance(tree, Scalar) and not tree.text:
            what, expected = "there is nothing below the header", "an object to run, such as !Experiment"
            raise ConfigError(what, rule="empty-file", position=tree.position, expected=expected)
        if header.tag not in (None, "!Environment"):
            what, hint = f"the header stands below {header.tag}", "Move it above, and end it with '---'."
            raise ConfigError(what, rule="invalid-header", position=tree.position, hint=hint)
    return Document(header, tree)


def whole_path(tree: Node, path: Many[str]) -> list[str]:
    """Return a path from the root of a config: where it begins with a stage, that stands below ``pipeline``."""
    if child(tree, path[0]) is None:
        for name in ("pipeline", "stages"):
            stages = child(tree, name)
            if stages is not None and isinstance(bared(stages), Mapping) and child(stages, path[0]) is not None:
                return [name, *path]
    return list(path)


def may_refer(text: str) -> bool:
    """Whether a YAML text can hold a reference or a variable at all."""
    return "{" in text or "$" in text or "!P" in text or "\\" in text


def is_marked(tree: Node) -> bool:
    """Whether a config says that it is resolved: all of its texts are what they are."""
    found = child(tree, RESOLVED)
    return isinstance(found, Scalar) and value_of(found) is True


def is_resolved(tree: Node) -> bool:
    """Take the mark of a resolved config away and return whether it was there."""
    found = is_marked(tree)
    if isinstance(tree, Mapping):
        tree.items = [(key, value) for key, value in tree.items if text_of(key) != RESOLVED]
    return found
