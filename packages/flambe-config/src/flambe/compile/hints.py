"""Type hints of Python source → the forms of ``annotations``."""

from __future__ import annotations

import ast

from flambe.compile.annotations import Type

_SIMPLE = {"int", "float", "bool", "str", "bytes"}
_LISTS = {
    "list", "List", "Sequence", "Iterable", "Collection", "MutableSequence", "set", "Set", "frozenset", "FrozenSet",
    "AbstractSet", "Container", "deque", "Deque",
}  # fmt: skip
# What a text is as well: it gives its characters.
_OPEN_LISTS = {"Sequence", "Iterable", "Collection", "Container"}
_DICTS = {"dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "DefaultDict", "defaultdict"}


_OPEN = {"Any", "object", "AnyStr", "Never", "NoReturn", "None", "Hashable", "Sized"}
_STANDARD = {"typing", "t", "collections", "abc", "builtins", "typing_extensions"}


def read_annotation(node: ast.expr, module: str = "") -> Type:
    """Return the form of an annotation that is written in ``module``; None for what tells nothing."""
    if isinstance(node, ast.Constant):
        if node.value is None:
            return "none"
        if isinstance(node.value, str):
            try:
                return read_annotation(ast.parse(node.value, mode="eval").body, module)
            except (SyntaxError, ValueError, RecursionError):
                return None
        return None
    if isinstance(node, ast.Name | ast.Attribute):
        name = _own_name(node)
        if name in _SIMPLE:
            return name
        if name == "Callable":
            return "callable"
        if name in _LISTS or name in ("tuple", "Tuple"):
            return _list(name, None)
        if name in _DICTS:
            return ["dict", None, None]
        return ["type", None] if name in ("type", "Type") else _class(node, module)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([read_annotation(node.left, module), read_annotation(node.right, module)])
    if isinstance(node, ast.Subscript):
        return _subscript(node, module)
    return None


def read_alias(node: ast.expr, module: str) -> Type:
    """Return the form of the type that ``Name = …`` gives a name; None for a class, and for all that is no type."""
    if isinstance(node, ast.Call):
        name = _own_name(node.func)
        if name == "NewType" and len(node.args) == 2:
            return read_annotation(node.args[1], module)
        if name == "TypeVar":
            bound = [keyword.value for keyword in node.keywords if keyword.arg == "bound"]
            limits = [read_annotation(one, module) for one in bound or node.args[1:]]
            return _union(limits) if limits else ["typevar"]
        return None
    found = read_annotation(node, module) if isinstance(node, ast.Name | ast.Subscript | ast.BinOp) else None
    return None if isinstance(found, list) and found[0] == "class" and len(found) == 2 else found


def _own_name(node: ast.expr) -> str:
    """Return the name of what Python itself brings (``typing.List`` → ``List``), else an empty text."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = node.value
        head = inner.id if isinstance(inner, ast.Name) else inner.attr if isinstance(inner, ast.Attribute) else ""
        return node.attr if head in _STANDARD else ""
    return ""


def _class(node: ast.expr, module: str) -> Type:
    if not module or _own_name(node) in _OPEN:
        return None
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ["class", f"{module}:{'.'.join([node.id, *reversed(names)])}"] if isinstance(node, ast.Name) else None


def _subscript(node: ast.Subscript, module: str) -> Type:
    name = _own_name(node.value)
    inner = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Optional":
        return _union([read_annotation(inner[0], module), "none"])
    if name == "Union":
        return _union([read_annotation(part, module) for part in inner])
    if name == "Literal":
        values = [part.value for part in inner if isinstance(part, ast.Constant)]
        plain = all(isinstance(value, str | int | bool | None) for value in values)
        return ["literal", *values] if plain and len(values) == len(inner) else None
    if name == "Callable":
        return "callable"
    if name in ("Annotated", "Final", "ClassVar"):
        return read_annotation(inner[0], module)
    if name in _LISTS:
        return _list(name, read_annotation(inner[0], module))
    if name in ("tuple", "Tuple"):
        if len(inner) == 2 and isinstance(inner[1], ast.Constant) and inner[1].value is Ellipsis:
            return ["list", read_annotation(inner[0], module)]
        return ["tuple", *(read_annotation(part, module) for part in inner)]
    if name in _DICTS:
        types = [read_annotation(part, module) for part in inner]
        return ["dict", *types] if len(types) == 2 else ["dict", None, None]
    if name in ("type", "Type"):
        return ["type", read_annotation(inner[0], module)]
    found = _class(node.value, module)
    return found if found is None else [*found, *(read_annotation(part, module) for part in inner)]


def _list(name: str, item: Type) -> Type:
    found = ["list", item]
    return ["union", "str", found] if name in _OPEN_LISTS and item in (None, "str") else found


def _union(types: list[Type]) -> Type:
    if any(one is None for one in types):
        return None
    flat: list[Type] = []
    for one in types:
        for part in one[1:] if isinstance(one, list) and one[0] == "union" else [one]:
            if part not in flat:
                flat.append(part)
    return flat[0] if len(flat) == 1 else ["union", *flat]


def or_none(type_: Type) -> Type:
    """Return the form of ``type_ | None``, which a default of None means."""
    return _union([type_, "none"])
