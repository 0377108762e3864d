"""Links: ``root[key][0].attribute``, a reference to something that is built elsewhere in the config.

``parse_link_str`` is the one place that knows the grammar; the compiler uses it too, so this file imports nothing heavy.

======================  ========================================================================
part                    meaning
======================  ========================================================================
``root``                a stage, a resource, or (config of a single object) an argument of it
``[key]`` ``[0]``       down the *config*: a key, or an index; ``['0']`` is the key ``0``
``.attribute``          then along attributes of the *built* object
======================  ========================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from flambe.build.registrable import Registrable
from flambe.errors import ConfigError, Position, did_you_mean
from flambe.spec.nodes import LinkTarget, link_node

ORDER_RULE = (
    "A link reaches what is built already: what stands above it in the file, not what stands below, "
    "and not an object that the link is a part of"
)
_GRAMMAR = "stage[key].attribute"
_PIECE = re.compile(
    r"""\[ \s* (?: '(?P<single>[^']*)' | "(?P<double>[^"]*)" | (?P<bare>[^\[\]'"]*?) ) \s* \] | \.(?P<attr>\w+)""", re.X
)
_ROOT = re.compile(r"[^\[\].\s]+")


# Where Python keeps what runs (https://docs.python.org/3/reference/datamodel.html): from there every object could be reached.
_FRAMES = "f_back f_builtins f_globals f_locals f_code tb_frame tb_next gi_frame gi_code gi_yieldfrom cr_frame cr_code cr_await ag_frame ag_code"
_INNARDS = frozenset(_FRAMES.split())


def is_forbidden(attribute: str) -> bool:
    """Whether no link may follow this attribute."""
    return attribute.startswith("__") or attribute in _INNARDS


class LinkError(ConfigError):
    """A link that cannot be followed. ``link`` is its text."""

    rule = "link-missing"
    link: str | None = None


class MalformedLinkError(LinkError):
    """A link that is written wrongly. at: the index of the first character that does not fit."""

    at = 0
    rule = "malformed-link"


class UnpreparedLinkError(LinkError):
    """A link to something that is not built yet."""

    rule = "link-later"


def parse_link_str(text: str) -> tuple[list[str | int], list[str]]:
    """Return the config path and the attribute path of a link's text.

    >>> parse_link_str("obj[key1][0].attr1.attr2")
    (['obj', 'key1', 0], ['attr1', 'attr2'])

    Raises ``MalformedLinkError`` that names the first character which does not fit.
    """
    link = text.strip()
    if not link:
        raise _malformed(text, "names nothing")
    root = _ROOT.match(link)
    if root is None:
        raise _malformed(link, f"begins with {link[0]!r}")
    path: list[str | int] = [root.group()]
    attrs: list[str] = []
    at = root.end()
    while at < len(link):
        piece = _PIECE.match(link, at)
        if piece is None:
            raise _malformed(link, _complaint(link, at), at)
        if piece["attr"] is not None:
            attrs.append(piece["attr"])
        elif attrs:
            what = f"has brackets after an attribute, at character {at + 1}"
            if re.fullmatch(r"-?\d+", piece["bare"] or ""):
                hint = "A link takes no item of what an attribute gives: name an attribute that is this value (dataset.text.embedding_dim)."
            else:
                hint = f"Brackets come first: {create_link_str([*path, *attrs])}{link[at:]}."
            raise _malformed(link, what, at, hint=hint)
        elif piece["bare"] is not None:
            if not piece["bare"]:
                raise _malformed(link, f"has an empty key, at character {at + 1}", at)
            path.append(int(piece["bare"]) if re.fullmatch(r"-?\d+", piece["bare"]) else piece["bare"])
        else:
            path.append(piece["single"] if piece["single"] is not None else piece["double"])
        at = piece.end()
    return path, attrs


def create_link_str(schematic_path: Sequence[str | int], attr_path: Sequence[str] | None = None) -> str:
    """Return the text of a link; the inverse of ``parse_link_str``.

    Raises ``MalformedLinkError`` when the path is empty.
    """
    if not schematic_path:
        raise _malformed("", "has no root")
    root, *keys = schematic_path
    return f"{root}" + "".join(f"[{_key_text(key)}]" for key in keys) + "".join(f".{name}" for name in attr_path or ())


def _key_text(key: str | int) -> str:
    if isinstance(key, int):
        return str(key)
    plain = key and not re.fullmatch(r"-?\d+", key) and not re.search(r"[\[\]'\"]|^\s|\s$", key)
    if plain:
        return key
    return f'"{key}"' if "'" in key else f"'{key}'"


def _complaint(link: str, at: int) -> str:
    rest = link[at:]
    where = f"at character {at + 1}"
    if rest[0] == "[":
        return f"has a bracket that is never closed, {where}" if "]" not in rest else f"has a wrong key, {where}"
    if rest[0] == "]":
        return f"closes a bracket that was never opened, {where}"
    if rest[0] == ".":
        return f"has an empty attribute name, {where}"
    return f"has {rest[0]!r} where '[' or '.' belongs, {where}"


def _malformed(link: str, fault: str, at: int = 0, hint: str | None = None) -> MalformedLinkError:
    if link[at:] == "()":
        hint = f"To call what a link finds write !call {link[:at]}."
    elif link[at : at + 1].isspace() and at:
        hint = "A link has no spaces."
    error = MalformedLinkError(f"the link {link!r} {fault}", expected=_GRAMMAR, hint=hint)
    error.link = link
    error.at = at
    return error


def step_into(value: Any, key: str | int, *, link: str, position: Position | None = None) -> Any:
    """Follow one bracket of a link: into a map, a list, or the arguments that an object was made with.

    Raises ``LinkError`` naming the key and what there is instead.
    """
    from flambe.build.made import arguments_of

    known: list[str]
    if isinstance(value, Mapping):
        if key in value:
            return value[key]
        if str(key) in value:
            return value[str(key)]
        known = [str(name) for name in value]
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if isinstance(key, int) and -len(value) <= key < len(value):
            return value[key]
        known = [f"indices below {len(value)}"]
    else:
        given = arguments_of(value)
        if given is None:
            raise _broken(link, f"[{key}] goes into a {type(value).__qualname__}, which has no config", None, position)
        if key in given:
            return given[str(key)]
        known = list(given)
    hint = did_you_mean(str(key), known) or (f"There are: {', '.join(known)}." if known else None)
    raise _broken(link, f"there is no [{key}]", hint, position)


def follow_attributes(value: Any, attrs: Sequence[str], *, link: str, position: Position | None = None) -> Any:
    """Follow the attributes of a link. Raises ``LinkError`` naming the one that is missing."""
    for name in attrs:
        if is_forbidden(name) or isinstance(value, ModuleType):
            # From there on every object of the interpreter could be reached.
            raise _broken(link, f"{name} is no attribute that a link may follow", None, position)
        try:
            value = getattr(value, name)
        except AttributeError as error:
            # A property of ours may fail inside, and then its own message is the one that helps.
            inner = "" if hasattr(type(value), name) is False else f" ({error})"
            hint = did_you_mean(name, [known for known in dir(value) if not known.startswith("_")])
            raise _broken(
                link, f"a {type(value).__qualname__} has no attribute {name!r}{inner}", hint, position
            ) from error
    return value


def _broken(link: str, fault: str, hint: str | None, position: Position | None) -> LinkError:
    error = LinkError(f"the link {link!r} leads nowhere: {fault}", hint=hint, position=position)
    error.link = link
    return error


class Link(Registrable):
    """A reference to something that is built elsewhere, followed when it is called.

    Parameters
    ----------
    schematic_path: the root and the keys down the config (``["model", "encoder"]``); or text as ``!@`` has it
        (``"model[encoder].rnn.hidden_size"``).
    attr_path: attributes of the built object at that place (``["rnn", "hidden_size"]``).
    target: the ``Schema`` (or object) of the root; may be set later, but before the link is called.
    local: kept from version 0.4, where it told Tune's links from global ones; changes nothing here.

    A value is kept once it is found; None is looked for again each time. ``post_init_hooks`` are called with it then.
    """

    _calls = False

    def __init__(
        self,
        schematic_path: Sequence[str | int] | str,
        attr_path: Sequence[str] | None = None,
        target: Any = None,
        local: bool = True,
    ) -> None:
        if isinstance(schematic_path, str):
            schematic_path, attributes = parse_link_str(schematic_path)
            attr_path = [*attributes, *(attr_path or ())]
        if not schematic_path:
            raise _malformed("", "has no root")
        self.schematic_path: list[str | int] = list(schematic_path)
        self.attr_path: list[str] = list(attr_path or ())
        self.target = target
        self.local = local
        self.post_init_hooks: list[Callable[[Any], object]] = []
        self._found: Any = None

    @classmethod
    def parse(cls, text: str, target: Any = None) -> Link:
        """Return the link that ``text`` writes. Raises ``MalformedLinkError``."""
        path, attrs = parse_link_str(text)
        return cls(path, attrs, target)

    @classmethod
    def from_yaml(cls, constructor: Any, node: Any, factory_name: str | None = None) -> Link:
        """Return the link that a PyYAML scalar holds. Raises ``MalformedLinkError``."""
        return cls.parse(str(node.value))

    @classmethod
    def to_yaml(cls, representer: Any, node: Any, tag: str) -> Any:
        """Return the PyYAML scalar of a link."""
        return representer.represent_scalar(tag, str(node))

    @property
    def root_schema(self) -> str:
        """The name that the link starts from."""
        return str(self.schematic_path[0])

    @property
    def link_target(self) -> LinkTarget:
        """The same place as the spec writes it."""
        return LinkTarget(tuple(self.schematic_path), tuple(self.attr_path), call=self._calls)

    def to_node(self) -> dict[str, Any]:
        """Return the ``$link`` node of the spec."""
        return link_node(self.link_target)

    def __str__(self) -> str:
        return create_link_str(self.schematic_path, self.attr_path)

    def __repr__(self) -> str:
        return f"link({self})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Link) and other.link_target == self.link_target

    def __hash__(self) -> int:
        return hash(self.link_target)

    def __call__(self) -> Any:
        """Return what the link points to.

        Raises ``UnpreparedLinkError`` when the root was never given or is not built yet, ``LinkError`` when a key or
        an attribute does not exist.
        """
        if self._found is None:
            self._found = self._follow()
            for hook in self.post_init_hooks:
                hook(self._found)
        return self._found

    def _follow(self) -> Any:
        from flambe.build.schema import Schema

        if self.target is None:
            raise unprepared(str(self), f"nothing called {self.root_schema!r} was attached to it")
        value: Any = self.target
        for key in self.schematic_path[1:]:
            if isinstance(value, Link):
                value = value()
            value = step_into(value, key, link=str(self))
        if isinstance(value, Link):
            value = value()
        if isinstance(value, Schema):
            if not value.is_built:
                raise unprepared(str(self), "its target is not built yet")
            value = value()
        value = follow_attributes(value, self.attr_path, link=str(self))
        return value() if self._calls else value


class FunctionCallLink(Link):
    """A link whose target is called without arguments; the result is its value (``!call path``)."""

    _calls = True


def unprepared(link: str, why: str, position: Position | None = None) -> UnpreparedLinkError:
    """Return the error of a link that comes too early, with the rule."""
    error = UnpreparedLinkError(
        f"the link {link!r} cannot be followed: {why}", hint=ORDER_RULE + ".", position=position
    )
    error.link = link
    return error


def activate_links(data: Any) -> Any:
    """Return ``data`` (maps, lists and tuples to any depth) with every ``Link`` replaced by what it points to."""
    if isinstance(data, Link):
        return data()
    if isinstance(data, dict):
        return {key: activate_links(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return type(data)(activate_links(value) for value in data)
    return data


__all__ = [
    "ORDER_RULE",
    "FunctionCallLink",
    "Link",
    "LinkError",
    "MalformedLinkError",
    "UnpreparedLinkError",
    "activate_links",
    "create_link_str",
    "parse_link_str",
]
