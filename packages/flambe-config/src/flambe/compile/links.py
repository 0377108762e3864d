"""The grammar of a link: ``root[key][0].attribute.attribute``. Brackets follow the config, dots the built object."""

from __future__ import annotations

import re

from flambe.spec.nodes import LinkTarget

_NAME = re.compile(r"[^\[\]\.\s'\"]+")
_KEY = re.compile(r"\[\s*(?:'([^']*)'|\"([^\"]*)\"|([^\[\]'\"]+?))\s*\]")
_ATTRIBUTE = re.compile(r"\.([^\W\d]\w*)")


class MalformedLink(ValueError):
    """Text that is no link. offset: where in the text it goes wrong, from 0."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(reason)
        self.offset = offset


def parse_link(text: str, *, call: bool = False, copy: bool = False) -> LinkTarget:
    """Read a link. ``a[0]`` is an index, ``a['0']`` a key. Raises ``MalformedLink``.

    >>> parse_link("model[embedder][0].rnn.hidden_size")
    LinkTarget(path=('model', 'embedder', 0), attr=('rnn', 'hidden_size'), call=False, copy=False)
    """
    if not text.strip():
        raise MalformedLink("the link is empty", 0)
    at = len(text) - len(text.lstrip())
    end = len(text.rstrip())
    if text[at] in "[.]":
        raise MalformedLink(f"a link begins with a name, not with {text[at]!r}", at)
    root = _NAME.match(text, at, end)
    if root is None:
        raise MalformedLink(f"a link begins with a name, not with {text[at]!r}", at)
    path: list[str | int] = [root.group()]
    at = root.end()
    while at < end and text[at] == "[":
        key = _KEY.match(text, at, end)
        if key is None:
            closed = "]" in text[at:end]
            raise MalformedLink("a bracket holds one key" if closed else "the bracket '[' is never closed", at)
        single, double, bare = key.groups()
        quoted = single if single is not None else double
        path.append(quoted if quoted is not None else int(bare) if re.fullmatch(r"-?\d+", bare) else bare)
        at = key.end()
    attributes: list[str] = []
    while at < end:
        attribute = _ATTRIBUTE.match(text, at, end)
        if attribute is None:
            raise MalformedLink(_reason(text[at:end], bool(attributes), len(path) > 1), at)
        attributes.append(attribute.group(1))
        at = attribute.end()
    if any(name.startswith("__") for name in attributes):
        raise MalformedLink("a link reads no attribute that begins with '__'", text.index(".__"))
    return LinkTarget(tuple(path), tuple(attributes), call, copy)


def _reason(rest: str, after_attribute: bool, after_bracket: bool) -> str:
    if rest[0] == "]":
        return "the bracket ']' was never opened"
    if rest[0] == "[":
        return "brackets stand before dots: they follow the config, dots the built object"
    if rest == ".":
        return "a dot at the end names no attribute"
    if rest[0] == ".":
        return "a dot is followed by the name of an attribute"
    if rest[0].isspace():
        return "a link has no spaces"
    if after_bracket and not after_attribute:
        return "after a bracket comes another bracket or a dot"
    return f"{rest[0]!r} cannot stand in a link"


def link_text(target: LinkTarget) -> str:
    """Return the text of a link: the inverse of ``parse_link``."""
    text = str(target.path[0])
    for part in target.path[1:]:
        if isinstance(part, str) and (re.fullmatch(r"-?\d+", part) or not re.fullmatch(r"[^\[\]'\"\s][^\[\]'\"]*", part)):
            text += f'["{part}"]' if "'" in part else f"['{part}']"
        else:
            text += f"[{part}]"
    return text + "".join(f".{name}" for name in target.attr)
