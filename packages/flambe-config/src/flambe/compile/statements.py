"""The statements of a module, a class and a function → what ``source`` keeps of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from flambe.compile.attributes import Attributes
from flambe.compile.hints import or_none, read_alias, read_annotation
from flambe.compile.source import (
    KEYWORD,
    KEYWORDS,
    POSITIONAL,
    POSITIONAL_ONLY,
    REST,
    Class,
    Function,
    Module,
    Parameter,
)

# Decorators of classes that leave their arguments alone.
_HARMLESS = {"alias", "register", "final", "runtime_checkable", "total_ordering", "deprecated", "unique"}


class Reader:
    """Reads the statements of one module; what stands in ``if``, ``try`` and ``with`` counts like the rest."""

    def __init__(self, module: str, is_package: bool) -> None:
        self._module = module
        self._package = module if is_package else module.rpartition(".")[0]
        self.found = Module(imports={}, stars=[], assigned={}, classes={}, functions={})

    def read(self, tree: ast.Module) -> Module:
        for statement in _flat(tree.body):
            self._statement(statement)
        return self.found

    def _statement(self, statement: ast.stmt) -> None:
        found = self.found
        if isinstance(statement, ast.Import):
            for name in statement.names:
                if name.asname:
                    found.imports[name.asname] = f"{name.name}:"
                else:
                    top = name.name.partition(".")[0]
                    found.imports[top] = f"{top}:"
        elif isinstance(statement, ast.ImportFrom):
            origin = self._origin(statement)
            for name in statement.names:
                if name.name == "*":
                    found.stars.append(origin)
                else:
                    found.imports[name.asname or name.name] = f"{origin}:{name.name}"
        elif isinstance(statement, ast.ClassDef):
            found.classes[statement.name] = _class(statement, self._module, self.found.imports)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            if statement.name == "__getattr__":
                found.dynamic = True
            previous = found.functions.get(statement.name)
            found.functions[statement.name] = _function(statement, None, previous, self._module)
        elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            self._assignment(statement)

    def _assignment(self, statement: ast.Assign | ast.AnnAssign | ast.AugAssign) -> None:
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            if isinstance(target, ast.Name):
                if target.id == "__all__" and statement.value is not None:
                    self.found.exported = [*(self.found.exported or []), *_strings(statement.value)]
                elif statement.value is not None:
                    self.found.assigned[target.id] = _dotted(statement.value) or ""
                    alias = read_alias(statement.value, self._module)
                    if alias is not None:
                        self.found.types[target.id] = alias

    def _origin(self, statement: ast.ImportFrom) -> str:
        if not statement.level:
            return statement.module or ""
        parts = self._package.split(".")
        base = parts[: len(parts) - statement.level + 1]
        return ".".join([*base, *([statement.module] if statement.module else [])])


def _flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.If):
            yield from _flat(statement.orelse)
            yield from _flat(statement.body)
        elif isinstance(statement, ast.Try):
            for handler in statement.handlers:
                yield from _flat(handler.body)
            yield from _flat(statement.body)
            yield from _flat(statement.orelse)
        elif isinstance(statement, ast.With):
            yield from _flat(statement.body)
        else:
            yield statement


def _class(statement: ast.ClassDef, module: str, imports: dict[str, str]) -> Class:
    methods: dict[str, Function] = {}
    names: list[str] = []
    abstract: list[str] = []
    attributes = Attributes(module)
    flags: dict[str, bool] = {}
    for inner in _flat(statement.body):
        if isinstance(inner, ast.FunctionDef):
            kind = _method_kind(inner)
            if kind in ("class", "static") or inner.name in ("__init__", "__new__"):
                methods[inner.name] = _function(inner, kind, methods.get(inner.name), module)
            else:
                names.append(inner.name)
            is_property = any(_last(decorator) in ("property", "cached_property") for decorator in inner.decorator_list)
            attributes.method(inner, is_property=is_property)
            if any(_last(decorator) == "abstractmethod" for decorator in inner.decorator_list):
                abstract.append(inner.name)
        elif isinstance(inner, ast.AnnAssign):
            attributes.declare(inner)
            flags.update(_flags([inner.target], inner.value))
        elif isinstance(inner, ast.Assign):
            attributes.assign(inner)
            flags.update(_flags(inner.targets, inner.value))
        elif isinstance(inner, ast.ClassDef | ast.AsyncFunctionDef):
            names.append(inner.name)
        else:
            attributes.other(inner)
    aliases: list[str] = []
    opaque = False
    for decorator in statement.decorator_list:
        last = _last(decorator)
        makes = "__init__" not in methods and last not in _HARMLESS
        made = _dataclass_init(statement, decorator, module) if makes and _is_dataclass(decorator, imports) else None
        if made is not None:
            methods["__init__"] = made
        # One that nobody knows may make an __init__, as those of attrs and pydantic do.
        opaque = opaque or (makes and made is None)
        if last == "alias" and isinstance(decorator, ast.Call):
            aliases += [text for argument in decorator.args[:1] for text in _strings(argument)]
    bases = [_dotted(base.value if isinstance(base, ast.Subscript) else base) or "" for base in statement.bases]
    loose = any(base.rpartition(".")[2] == "Protocol" for base in bases) or any(
        keyword.arg == "metaclass" and _last(keyword.value) != "ABCMeta" for keyword in statement.keywords
    )
    loose = loose or "__subclasshook__" in methods
    return Class(bases, methods, names, aliases, opaque, abstract, attributes.types(), attributes.is_open, loose, flags)


def _flags(targets: list[ast.expr], value: ast.expr | None) -> dict[str, bool]:
    if not (isinstance(value, ast.Constant) and isinstance(value.value, bool)):
        return {}
    return {target.id: value.value for target in targets if isinstance(target, ast.Name)}


def _is_dataclass(decorator: ast.expr, imports: dict[str, str]) -> bool:
    """Whether a decorator is that of Python itself: those of other libraries may convert what they are given."""
    name = _dotted(decorator.func if isinstance(decorator, ast.Call) else decorator) or ""
    head, _, rest = name.partition(".")
    return f"{imports.get(head, '')}{rest}" == "dataclasses:dataclass"


def _dataclass_init(statement: ast.ClassDef, decorator: ast.expr, module: str) -> Function | None:
    """Return the ``__init__`` that a dataclass without parents gets; None where the source does not tell it."""
    given = {one.arg: one.value for one in decorator.keywords} if isinstance(decorator, ast.Call) else {}
    if statement.bases or "init" in given:
        return None
    is_named = isinstance(given.get("kw_only"), ast.Constant) and bool(ast.literal_eval(given["kw_only"]))
    parameters: list[Parameter] = []
    for inner in statement.body:
        if not isinstance(inner, ast.AnnAssign) or not isinstance(inner.target, ast.Name):
            continue
        outer = inner.annotation.value if isinstance(inner.annotation, ast.Subscript) else inner.annotation
        if _last(outer) == "KW_ONLY":
            is_named = True
        if _last(outer) in ("ClassVar", "KW_ONLY"):
            continue
        options: dict[str | None, ast.expr] = {}
        if isinstance(inner.value, ast.Call) and _last(inner.value) == "field":
            options = {one.arg: one.value for one in inner.value.keywords}
            if "init" in options or None in options:
                return None
        required = inner.value is None or bool(
            _last(inner.value) == "field" and not {"default", "default_factory"} & set(options)
        )
        default = None if required else options.get("default", inner.value)
        kind = KEYWORD if is_named or "kw_only" in options else POSITIONAL
        annotation = inner.annotation
        if _last(outer) == "InitVar" and isinstance(annotation, ast.Subscript):
            annotation = annotation.slice
        parameters.append(_parameter(ast.arg(inner.target.id, annotation), kind, default, module))
    return Function(parameters, "instance")


def _method_kind(function: ast.FunctionDef) -> str:
    kinds = {_last(decorator) for decorator in function.decorator_list}
    if "classmethod" in kinds or function.name == "__new__":
        return "class"
    return "static" if "staticmethod" in kinds else "instance"


def _function(
    statement: ast.FunctionDef | ast.AsyncFunctionDef, kind: str | None, previous: Function | None, module: str
) -> Function:
    given = statement.args
    positional = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults)) + list(given.defaults)
    parameters: list[Parameter] = []
    for index, (argument, default) in enumerate(zip(positional, defaults, strict=True)):
        place = POSITIONAL_ONLY if index < len(given.posonlyargs) else POSITIONAL
        parameters.append(_parameter(argument, place, default, module))
    if given.vararg is not None:
        parameters.append(_parameter(given.vararg, REST, ast.Constant(None), module))
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        parameters.append(_parameter(argument, KEYWORD, default, module))
    if given.kwarg is not None:
        parameters.append(_parameter(given.kwarg, KEYWORDS, ast.Constant(None), module))
    if kind in ("instance", "class") and parameters and parameters[0].kind in (POSITIONAL_ONLY, POSITIONAL):
        del parameters[0]
    overloads = previous.overloads if previous is not None else []
    if any(_last(decorator) == "overload" for decorator in statement.decorator_list):
        overloads = [*overloads, parameters]
    passed_on = None
    if given.kwarg is not None and kind is not None:
        passed_on = _passed_on(statement, given.kwarg.arg)
    returns = None if statement.returns is None else read_annotation(statement.returns, module)
    return Function(parameters, kind or "function", passed_on, overloads, returns)


def _parameter(argument: ast.arg, kind: int, default: ast.expr | None, module: str) -> Parameter:
    annotation = None if argument.annotation is None else read_annotation(argument.annotation, module)
    if annotation is not None and isinstance(default, ast.Constant) and default.value is None and kind in (1, 3):
        annotation = or_none(annotation)
    return Parameter(argument.arg, kind, default is None, annotation)


def _passed_on(function: ast.FunctionDef | ast.AsyncFunctionDef, keywords: str) -> list[str] | None:
    """Return the names given to ``super().__init__(…, **keywords)`` beside the keywords, or None without such a call."""
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == function.name
            and isinstance(node.func.value, ast.Call)
            and _last(node.func.value) == "super"
            and any(k.arg is None and isinstance(k.value, ast.Name) and k.value.id == keywords for k in node.keywords)
        ):
            if any(isinstance(argument, ast.Starred) for argument in node.args):
                return None
            return [*(f"#{i}" for i in range(len(node.args))), *(k.arg for k in node.keywords if k.arg is not None)]
    return None


def _last(expression: ast.expr) -> str:
    if isinstance(expression, ast.Call):
        expression = expression.func
    if isinstance(expression, ast.Attribute):
        return expression.attr
    return expression.id if isinstance(expression, ast.Name) else ""


def _dotted(expression: ast.expr) -> str | None:
    if isinstance(expression, ast.Name):
        return expression.id
    if isinstance(expression, ast.Attribute):
        inner = _dotted(expression.value)
        return None if inner is None else f"{inner}.{expression.attr}"
    return None


def _strings(expression: ast.expr) -> list[str]:
    if isinstance(expression, ast.Constant):
        return [expression.value] if isinstance(expression.value, str) else []
    if isinstance(expression, ast.List | ast.Tuple):
        return [text for item in expression.elts for text in _strings(item)]
    return []
