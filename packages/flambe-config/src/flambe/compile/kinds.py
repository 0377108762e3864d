"""What kind of object a tag makes and a link reaches, told from source, and whether it may stand where a type is asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from flambe.build.reach import LIBRARY_BASES
from flambe.compile.annotations import Type, fits
from flambe.compile.library import Found, Library
from flambe.compile.source import Class, Function
from flambe.spec.nodes import (
    BYTES,
    DISTRIBUTIONS,
    FILE,
    FLOAT,
    GRID,
    LINK,
    NEW,
    LinkTarget,
    arguments,
    kind_of,
    link_target,
)

# Objects of a class below one of these are never written as a number or text.
_COMPONENTS = frozenset({("flambe.build.component", "Component")})
# A number or a list may do where one of these is asked for; a text never does.
_NUMBERS = frozenset({("torch._tensor", "Tensor"), ("numpy", "ndarray")})
# They say that something is a component, and little about what it can do: a class may be below both.
_ROOTS = frozenset(
    {
        ("flambe.build.component", "Component"),
        ("flambe.build.registrable", "Registrable"),
        ("torch.nn.modules.module", "Module"),
    }
)
_DATA = (bool, int, float, str, list, dict)
_OWN = ("flambe.build.schema", "flambe.build.link")


class Kinds:
    """Tells the kinds of the objects of one config. follow: what the brackets of a link reach, None where unknown."""

    def __init__(self, library: Library, follow: Callable[[LinkTarget], list[Any] | None]) -> None:
        self._library = library
        self._follow = follow
        self._classes: dict[str, Found | None] = {}
        self._meanings: dict[str, Type] = {}
        self._orders: dict[tuple[str, str], tuple[list[Found], bool]] = {}

    # What annotations asks -----------------------------------------------------------------------------------------

    def fits(self, node: Any, type_: Type) -> bool:
        """Whether what a ``$new`` or ``$link`` node gives may be what ``type_`` asks for."""
        if type_ is None:
            return True
        if kind_of(node) == LINK:
            target = link_target(node)
            if not target.attr and not target.call:
                reached = self._follow(target) or []
                plain = [one for one in reached if kind_of(one) not in (NEW, LINK, GRID)]
                if reached and len(plain) == len(reached):
                    return any(fits(one, type_, self) for one in plain)
        return self._may_be(self.yields(node), type_)

    def takes_data(self, type_: Type, *, text: bool = False) -> bool:
        """Whether a number, text, list or mapping may stand where ``["class", …]`` is asked for. text: whether it is a text."""
        found = self._class(type_[1])
        if found is None:
            return True
        asked = self.asked(found)
        if asked:
            return any(set(asked) <= set(dir(kind)) for kind in ([str] if text else _DATA))
        order, _ = self._order(found)
        names = {(one.module, one.name) for one in order}
        return not names & (_COMPONENTS | LIBRARY_BASES) and not (text and names & _NUMBERS)

    def gives(self, node: Any) -> bool:
        """Whether a ``$new`` node calls a function or a factory, of which the source says what it gives."""
        return head(self.yields(node)) not in ("exact", "None")

    def meaning(self, type_: Type) -> Type:
        """What ``["class", …]`` stands for where the name is no class: an alias, a NewType, the bound of a TypeVar."""
        name = type_[1]
        if name not in self._meanings:
            module, _, rest = name.partition(":")
            found = self._library.find(module, rest)
            info = self._library.module(found.module) if found is not None and found.item is None else None
            self._meanings[name] = info.types.get(found.name) if info is not None and found is not None else None
        known = self._meanings[name]
        if known is None:
            return type_
        return self._with(known, type_[2:], []) if len(type_) > 2 else known

    def _with(self, type_: Type, given: list[Type], seen: list[str]) -> Type:
        """Return a generic alias with what stands in its brackets in place of its type variables."""
        if not isinstance(type_, list):
            return type_
        if type_[0] == "class" and self.meaning(type_[:2]) == ["typevar"]:
            if type_[1] not in seen:
                seen.append(type_[1])
            index = seen.index(type_[1])
            return given[index] if index < len(given) else None
        return [self._with(part, given, seen) for part in type_]

    # What nodes give -----------------------------------------------------------------------------------------------

    def yields(self, node: Any, depth: int = 0) -> Type:
        """Return the type of what a node gives when it is built; None where the source does not tell."""
        kind = kind_of(node)
        if depth > 20:
            return None
        if kind == NEW:
            return self._made(node[NEW])
        if kind == LINK:
            return self._linked(link_target(node), depth)
        if kind == GRID:
            return _any_of([self.yields(item, depth + 1) for item in node[GRID]])
        if kind == FLOAT or kind in DISTRIBUTIONS:
            return "float"
        if kind == BYTES:
            return "bytes"
        if kind == FILE:
            return "str"
        if kind is not None:
            return None
        if isinstance(node, list):
            return ["list", None]
        if isinstance(node, dict):
            return ["dict", None, None]
        return "none" if node is None else type(node).__name__

    def _made(self, target: str) -> Type:
        module, _, name = target.partition(":")
        head, _, factory = name.partition(".")
        found = self._library.find(module, head)
        if found is None or "." in factory:
            return None
        if isinstance(found.item, Function):
            return None if factory or found.item.overloads else found.item.returns
        if not isinstance(found.item, Class):
            return None
        exact = ["exact", f"{found.module}:{found.name}"]
        if not factory:
            return exact
        order, complete = self._order(found)
        for one in order:
            assert isinstance(one.item, Class)
            method = one.item.methods.get(factory)
            if method is not None:
                if method.returns is None or method.overloads:
                    return None
                if _is_self(method.returns):
                    return exact
                made = self._class(method.returns[1]) if method.returns[0] == "class" else None
                # A factory that is written for a parent gives an object of the class it is called on.
                if made is not None and made in order:
                    return ["class", exact[1]]
                return method.returns
            if not complete:
                return None
        return None

    def _linked(self, target: LinkTarget, depth: int) -> Type:
        nodes = None if target.call else self._follow(target)
        if nodes is None:
            return None
        found: list[Type] = []
        for node in nodes:
            type_ = self.yields(node, depth + 1)
            for index, name in enumerate(target.attr):
                type_ = self._attribute(type_, name, node if index == 0 else None, depth)
            found.append(type_)
        return _any_of(found)

    def _attribute(self, type_: Type, name: str, node: Any, depth: int) -> Type:
        """Return the type of ``object.name``. node: what makes the object, where that is known."""
        if not isinstance(type_, list) or type_[0] not in ("class", "exact"):
            return None
        found = self._class(type_[1])
        if found is None:
            return None
        order, complete = self._order(found)
        for one in order:
            assert isinstance(one.item, Class)
            if name in one.item.attributes:
                known = one.item.attributes[name]
                return type_ if _is_self(known) else known
            if name in one.item.names or name in one.item.methods or not complete:
                return None
        if kind_of(node) == NEW and any(isinstance(one.item, Class) and one.item.open for one in order):
            # A dataset has an attribute for every field of its transform: {text: !TextField}.
            inner = [value[name] for value in arguments(node).values() if _is_map(value) and name in value]
            if len(inner) == 1:
                first = inner[0][0] if isinstance(inner[0], list) and inner[0] else inner[0]
                return self.yields(first, depth + 1) if kind_of(first) in (NEW, LINK) else None
        return None

    def missing(self, target: LinkTarget) -> tuple[str, str, list[str], bool] | None:
        """Return (class, attribute, what there is, whether that is all) of a link to what its object does not have.

        None where the object has it, or the source does not tell. Only of what tags make: an object that is annotated
        with a class may be of one below it.
        """
        nodes = self._follow(target) if target.attr else None
        for node in nodes or ():
            type_ = self.yields(node)
            found = self._class(type_[1]) if head(type_) == "exact" else None
            if found is None:
                return None
            order, complete = self._order(found)
            classes = [one.item for one in order if isinstance(one.item, Class)]
            known = [name for one in classes for name in (*one.attributes, *one.methods, *one.names)]
            maps = [value for value in arguments(node).values() if _is_map(value)] if kind_of(node) == NEW else []
            is_open = any(one.open for one in classes)
            if is_open:
                known += [name for value in maps for name in value]
            if not complete or target.attr[0] in known or hasattr(object, target.attr[0]):
                return None
            public = [name for name in dict.fromkeys(known) if not name.startswith("_")]
            return found.name, target.attr[0], public, not is_open
        return None

    def outputs(self, target: LinkTarget) -> list[str]:
        """Return the names that objects have in a mapping of what a link reaches: the fields of a data set."""
        nodes = self._follow(target) or []
        maps = [value for node in nodes if kind_of(node) == NEW for value in arguments(node).values() if _is_map(value)]
        return [name for one in maps for name, value in one.items() if kind_of(value) in (NEW, LINK, GRID)]

    def own(self, node: Any, method: str) -> tuple[str, bool] | None:
        """Return the class of what a ``$new`` node makes, and whether it has this method beside what every component has.

        None where the source does not tell.
        """
        type_ = self.yields(node)
        found = self._class(type_[1]) if head(type_) == "exact" else None
        if found is None:
            return None
        order, complete = self._order(found)
        own = [one.item for one in order if isinstance(one.item, Class) and (one.module, one.name) not in _COMPONENTS]
        has = any(method in known for one in own for known in (one.methods, one.names, one.attributes, one.aliases))
        return (found.name, has) if complete or has else None

    # Classes -------------------------------------------------------------------------------------------------------

    def _class(self, name: str) -> Found | None:
        """Return where a class is defined; None for all that is none, or that says nothing about what fits it."""
        if name not in self._classes:
            module, _, rest = name.partition(":")
            found = self._library.find(module, rest)
            known = found is not None and isinstance(found.item, Class)
            standard = known and found is not None and found.module.partition(".")[0] in sys.stdlib_module_names
            own = found is not None and found.module in _OWN
            self._classes[name] = found if known and not standard and not own else None
        return self._classes[name]

    def _order(self, found: Found) -> tuple[list[Found], bool]:
        key = (found.module, found.name)
        if key not in self._orders:
            self._orders[key] = self._library.ancestors(found)
        return self._orders[key]

    def asked_by(self, name: str) -> list[str]:
        """Return what the protocol of this name (``module:Name``) asks for."""
        found = self._class(name)
        return [] if found is None else self.asked(found)

    def asked(self, found: Found) -> list[str]:
        """Return what a protocol asks an object to have; nothing of a class that is none, or not all in the source."""
        order, complete = self._order(found)
        classes = [one.item for one in order if isinstance(one.item, Class)]
        if not complete or not any(base.rpartition(".")[2] == "Protocol" for base in classes[0].bases):
            return []
        return list(dict.fromkeys(name for one in classes for name in (*one.attributes, *one.methods, *one.names)))

    def _is_below(self, lower: Found, upper: Found) -> bool | None:
        """Whether one class is the other or below it; None when the source does not tell."""
        assert isinstance(upper.item, Class)
        order, complete = self._order(lower)
        if any((one.module, one.name) == (upper.module, upper.name) for one in order):
            return True
        asked = self.asked(upper)
        if asked:
            classes = [one.item for one in order if isinstance(one.item, Class)]
            known = {name for one in classes for name in (*one.attributes, *one.methods, *one.names)}
            told = complete and not any(one.open or one.opaque or one.loose for one in classes)
            return True if known.issuperset(asked) else False if told else None
        return False if complete and not upper.item.loose else None

    # Types ---------------------------------------------------------------------------------------------------------

    def _may_be(self, given: Type, wanted: Type) -> bool:
        if given is None or wanted is None or "typevar" in (head(given), head(wanted)):
            return True
        if head(given) == "union":
            return any(self._may_be(one, wanted) for one in given[1:])
        if head(wanted) == "class" and (meaning := self.meaning(wanted)) is not wanted:
            return self._may_be(given, meaning)
        if head(given) == "class" and (meaning := self.meaning(given)) is not given:
            return self._may_be(meaning, wanted)
        if head(wanted) == "union":
            return any(self._may_be(given, one) for one in wanted[1:])
        if head(given) == "literal":
            return any(fits(value, wanted, self) for value in given[1:])
        if head(given) in ("class", "exact"):
            return self._object_may_be(given, wanted)
        if head(wanted) == "class":
            return self.takes_data(wanted)
        return _data_may_be(given, wanted)

    def _object_may_be(self, given: Type, wanted: Type) -> bool:
        found = self._class(given[1])
        if found is None:
            return True
        if head(wanted) in ("list", "dict"):
            order, complete = self._order(found)
            classes = [one.item for one in order if isinstance(one.item, Class)]
            known = {name for one in classes for name in (*one.methods, *one.names, *one.aliases)}
            may = not complete or any(one.open or one.opaque or one.loose for one in classes)
            return may or given[0] != "exact" or not known.isdisjoint(("__iter__", "__getitem__"))
        if head(wanted) == "class":
            upper = self._class(wanted[1])
            if upper is not None and (upper.module, upper.name) in _ROOTS and upper.module.startswith("flambe."):
                return True  # at run time classes of libraries may be made components
            if upper is None or self._is_below(found, upper) is not False:
                return True
            if given[0] == "exact":
                return False
            if self.asked(upper):
                return True  # a class below may have what is missing
            # It may be an object of a class below, which may be below what is wanted as well.
            roots = {(found.module, found.name), (upper.module, upper.name)} & _ROOTS
            return bool(roots) or self._is_below(upper, found) is not False
        if wanted == "callable":
            return True
        # What is left is data (or a class): an object is none, unless its class is below one of Python's own.
        return not self._order(found)[1]


def _data_may_be(given: Type, wanted: Type) -> bool:
    left, right = head(given), head(wanted)
    if right == "callable":
        return left == "type"
    if right == "literal":
        return left not in ("int", "float", "str", "bool", "none") or any(type(v).__name__ == left for v in wanted[1:])
    if left in ("list", "tuple", "dict", "type") or right in ("tuple", "dict", "type"):
        same = {"tuple": "list"}
        return same.get(left, left) == same.get(right, right) or (left == "str" and right == "type")
    if right == "list":
        return left in ("str", "bytes")
    return left == right or (left, right) in (("int", "float"), ("bool", "int"), ("bool", "float"))


def head(type_: Type) -> str:
    """Return what kind of type it is: the first word of its form."""
    return str(type_[0]) if isinstance(type_, list) else str(type_)


def _any_of(types: list[Type]) -> Type:
    if not types or any(one is None for one in types):
        return None
    return types[0] if len(types) == 1 else ["union", *types]


def _is_self(type_: Type) -> bool:
    return isinstance(type_, list) and type_[0] == "class" and str(type_[1]).rpartition(":")[2].endswith("Self")


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and kind_of(value) is None
