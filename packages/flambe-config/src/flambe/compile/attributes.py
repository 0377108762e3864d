"""The attributes that the source of a class tells the types of, so that a link's value is known before anything runs."""

from __future__ import annotations

import ast

from flambe.compile.annotations import Type
from flambe.compile.hints import read_annotation

# They set what their subclasses name, and that is read where it is named.
_BASES = ("torch.nn.modules.module", "flambe.build.component", "flambe.build.registrable")


class Attributes:
    """What the statements of one class body in ``module`` say.

    Told by ``x: T`` and ``self.x: T = …``, by a property's ``-> T``, and by ``self.x = x`` in ``__init__`` for a parameter
    ``x: T`` that is given nothing else there, when no other method sets ``self.x``.

    is_open: whether objects may have attributes whose names the source does not tell.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._declared: dict[str, Type] = {}
        self._given: dict[str, Type] = {}
        self._changed: set[str] = set()
        self._is_open = False

    @property
    def is_open(self) -> bool:
        return self._is_open and self._module not in _BASES

    def types(self) -> dict[str, Type]:
        """Return attribute → form of its annotation, None where nothing tells it."""
        return {**self._given, **dict.fromkeys(self._changed), **self._declared}

    def assign(self, statement: ast.Assign) -> None:
        """Read ``x = …`` in the class body."""
        self._changed.update(
            one.id for target in statement.targets for one in ast.walk(target) if isinstance(one, ast.Name)
        )

    def other(self, statement: ast.stmt) -> None:
        """Read what else stands in the class body: a loop, an import or a call may bind any name."""
        told = ast.Pass | ast.Assert | ast.Raise | ast.Delete
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        self._is_open = self._is_open or not (is_text or isinstance(statement, told))

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
        if function.name in ("__getattr__", "__getattribute__"):
            self._is_open = True
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
            elif isinstance(node, ast.Call):
                name = _set_by_call(node)
                if name:
                    self._changed.add(name)
                self._is_open = self._is_open or name == ""
            elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and _is_dict(node.value):
                self._is_open = True
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


def _is_dict(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Attribute) and expression.attr == "__dict__"


def _set_by_call(call: ast.Call) -> str | None:
    """Return the attribute that ``setattr(self, name, …)`` or ``self.register_…(name, …)`` sets; "" for one worked out."""
    function = call.func
    arguments = call.args
    if isinstance(function, ast.Name) and function.id in ("setattr", "vars"):
        if not arguments or not (isinstance(arguments[0], ast.Name) and arguments[0].id == "self"):
            return None
        arguments = arguments[1:]
    elif isinstance(function, ast.Attribute) and _is_dict(function.value):
        return "" if function.attr in ("update", "setdefault") else None
    elif not (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "self"
        and (function.attr.startswith("register_") or function.attr == "add_module")
    ):
        return None
    first = arguments[0] if arguments else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
