"""What names something that stands elsewhere: links, declared files, environment variables → nodes of the spec."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from flambe.build.link import MalformedLinkError, create_link_str, is_forbidden, parse_link_str
from flambe.compile.yaml import Node, Scalar, describe
from flambe.errors import did_you_mean
from flambe.spec.nodes import ENV, FILE, LinkTarget, link_node

if TYPE_CHECKING:
    from flambe.compile.lowering import Lowering

LINK_TAGS = {"@": "", "link": "", "Link": "", "ref": "", "call": "call", "FunctionCallLink": "call", "copy": "copy"}


def variable(node: Node, lowering: Lowering) -> Any:
    """Return the node of ``!env``."""
    text = _text(node, "the name of an environment variable", lowering)
    return text if isinstance(text, dict) else {ENV: text}


def link(node: Node, tag: str, lowering: Lowering) -> Any:
    """Return the node of a link, with the whole path of what it names."""
    if not isinstance(node, Scalar):
        return lowering.fault(
            node.position,
            f"!{tag} holds {describe(node)}",
            rule="malformed-link",
            expected="the text of a link, such as stage[key].attribute",
            hint="Quote it, where it begins with a bracket or stands inside [ ] or { }.",
        )
    try:
        path, attributes = parse_link_str(node.text)
    except MalformedLinkError as error:
        position = node.position
        column = position.column + (node.inner + error.at if node.inner and node.text.strip() else 0)
        return lowering.note(error, position._replace(column=column))
    text = create_link_str(path, attributes)
    walks = next(filter(is_forbidden, attributes), None)
    if walks is not None:
        what = f"the link {text!r} reads {walks!r}, which no link may"
        return lowering.fault(node.position, what, rule="link-forbidden")
    root = lowering.link_root(str(path[0]))
    if isinstance(root, dict):
        if len(path) > 1 or attributes:
            return lowering.fault(
                node.position,
                f"the link {text!r} goes into a resource, which is a path",
                rule="link-forbidden",
                hint="Use its name alone.",
            )
        return root
    whole = (*(root if root is not None else path[:1]), *path[1:])
    kind = LINK_TAGS[tag]
    return link_node(LinkTarget(whole, tuple(attributes), kind == "call", kind == "copy"))


def file(node: Node, lowering: Lowering) -> Any:
    """Return the node of ``!file``: a declared name, a path beside the config, or a URL."""
    name = _text(node, "the name of a declared file", lowering)
    if isinstance(name, dict):
        return name
    if name in lowering.files:
        return {FILE: lowering.files[name]}
    if name in lowering.files.values():
        return {FILE: name}  # as a config.yml has it
    if "://" in name:
        from flambe.compile.extensions import file_path

        return {FILE: file_path(name, node.position, lowering, must_exist=True)}
    path = os.path.normpath(os.path.join(lowering.folder, os.path.expanduser(name)))
    if "/" in name and os.path.exists(path):
        return {FILE: path}
    if "/" in name:
        from flambe.compile.extensions import missing_file

        return lowering.note(missing_file(path), node.position)
    hint = did_you_mean(name, lowering.files) or "Declare it under resources, or under local_files of !Environment."
    from flambe.runnable.error import NonExistentResourceError

    error = NonExistentResourceError(f"no file is called {name!r}", rule="unknown-file", hint=hint)
    return lowering.note(error, node.position)


def _text(node: Node, expected: str, lowering: Lowering) -> str | dict[str, Any]:
    if not isinstance(node, Scalar) or not node.text.strip():
        return lowering.fault(
            node.position, f"{node.tag} holds {describe(node)}", rule="invalid-value", expected=expected
        )
    return node.text.strip()
