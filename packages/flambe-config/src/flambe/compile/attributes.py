"""The attributes that the source of a class tells the types of, so that a link's value is known before anything runs."""

from __future__ import annotations

import ast

from flambe.compile.annotations import Type
from flambe.compile.hints import read_annotation


class Attributes:
    """What the statements of one class body in ``module`` say.

    Told by ``x: T`` and ``self.x: T = …``, by a property's ``-> T``, and by ``self.x = x`` in ``__init__`` for a parameter
    ``x: T`` that is given nothing else there, when no other method sets ``self.x``.

    is_open: whether a method sets attributes of itself whose names the source does not tell.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._declared: dict[str, Type] = {}
        self._given: dict[str, Type] = {}
        self._changed: set[str] = set()
        self.is_open = False

    def types(self) -> dict[str, Type]:
        """Return attribute → form of its annotation, of those that tell something."""
        given = {name: type_ for name, type_ in self._given.items() if name not in self._changed}
        return {name: type_ for name, type_ in {**given, **self._declared}.items() if type_ is not None}

    def declare(self, statement: ast.AnnAssign) -> None:
        """Read ``x: T`` in the class body, or ``self.x: T`` in a method."""
        target = statement.target
        name = target.id if isinstance(target, ast.Name) else target.attr if isinstance(target, ast.Attribute) else ""
        self._declared[name] = read_annotation(statement.annotation, self._module)

    def method(self, function: ast.FunctionDef, *, is_property: bool) -> None:
        """Read a method."""
        if is_property:
            self._declared[function.name] = (
                None if function.returns is None else read_annotation(function.returns, self._module)
            )
        given = function.args
        annotations = {one.arg: one.annotation for one in [*given.posonlyargs, *given.args, *given.kwonlyargs]}
        found: list[tuple[str, str | None]] = []
        for node in ast.walk(function):
            if isinstance(node, ast.AnnAssign) and _is_of_self(node.target):
                self.declare(node)
            elif isinstance(node, ast.Assign):
                source = node.value.id if isinstance(node.value, ast.Name) else None
                found += [(name, source) for target in node.targets for name in _names_of_self(target)]
            elif isinstance(node, ast.AugAssign) and _is_of_self(node.target):
                found += [(name, None) for name in _names_of_self(node.target)]
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                annotations.pop(node.id, None)
            elif isinstance(node, ast.Call) and _sets_unnamed(node):
                self.is_open = True
        for name, source in found:
            annotation = annotations.get(source) if source is not None else None
            if function.name != "__init__" or annotation is None or name in self._given:
                self._changed.add(name)
            else:
                self._given[name] = read_annotation(annotation, self._module)


def _is_of_self(target: ast.expr) -> bool:
    return isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self"


def _names_of_self(target: ast.expr) -> list[str]:
    if isinstance(target, ast.Tuple | ast.List):
        return [name for item in target.elts for name in _names_of_self(item)]
    return [target.attr] if isinstance(target, ast.Attribute) and _is_of_self(target) else []


def _sets_unnamed(call: ast.Call) -> bool:
    """Whether this is ``setattr(self, name, …)`` with a name that is worked out."""
    return (
        isinstance(call.func, ast.Name)
        and call.func.id == "setattr"
        and len(call.args) == 3
        and isinstance(call.args[0], ast.Name)
        and call.args[0].id == "self"
        and not isinstance(call.args[1], ast.Constant)
    )
