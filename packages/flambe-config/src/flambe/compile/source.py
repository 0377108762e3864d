"""What Python source says about itself: the names of a module, its classes and their arguments, read with ``ast``.

No module is ever imported. A file is read when a tag needs it, and what was found in it is kept in the user's cache
folder under its path, size and modification time, so that the second compilation reads no Python at all.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from collections.abc import Iterator

import msgspec

from flambe.compile.annotations import Type, or_none, read_annotation
from flambe.compile.attributes import Attributes

CACHE_VERSION = "3"  # changes whenever what is read from a file changes

POSITIONAL_ONLY, POSITIONAL, REST, KEYWORD, KEYWORDS = range(5)


class Parameter(msgspec.Struct, array_like=True):
    """One parameter of a function. kind: one of the five constants above. type: see ``annotations``."""

    name: str
    kind: int
    required: bool
    type: Type = None


class Function(msgspec.Struct, array_like=True):
    """A function or method, without ``self`` or ``cls``.

    kind: function, instance, class or static. passed_on: arguments that it gives to ``super()`` itself beside its own
    ``**keywords``; None where it does not pass those on. returns: what it gives, see ``annotations``.
    """

    parameters: list[Parameter]
    kind: str = "function"
    passed_on: list[str] | None = None
    overloads: list[list[Parameter]] = []
    returns: Type = None


class Class(msgspec.Struct, array_like=True):
    """A class statement.

    names: its methods. opaque: its arguments cannot be read from the source (a dataclass, …). attributes: the annotated
    ones, and properties. open: it sets attributes whose names the source does not tell. loose: other objects than those
    of its subclasses may count as its own (a protocol, …).
    """

    bases: list[str]
    methods: dict[str, Function]
    names: list[str] = []
    aliases: list[str] = []
    opaque: bool = False
    abstract: list[str] = []
    attributes: dict[str, Type] = {}
    open: bool = False
    loose: bool = False


class Module(msgspec.Struct, array_like=True):
    """The names of one module. imports: local name → ``module:name`` (``module:`` for a module itself)."""

    imports: dict[str, str] = {}
    stars: list[str] = []
    assigned: dict[str, str] = {}
    classes: dict[str, Class] = {}
    functions: dict[str, Function] = {}
    exported: list[str] | None = None
    dynamic: bool = False


def cache_folder() -> str:
    """Return the folder that keeps what was read; the user's cache folder of the platform."""
    if sys.platform.startswith("linux"):
        # platformdirs says the same, and importing it takes longer than compiling a small file.
        base = os.environ.get("XDG_CACHE_HOME", "").strip() or os.path.expanduser("~/.cache")
        return os.path.join(base, "flambe", f"signatures-{CACHE_VERSION}")
    from platformdirs import user_cache_dir

    return os.path.join(user_cache_dir("flambe", appauthor=False), f"signatures-{CACHE_VERSION}")


def read_module(path: str, name: str, *, is_package: bool) -> Module | None:
    """Return what the source file ``path`` of the module ``name`` says, from the cache when it is unchanged.

    None when the file cannot be read as Python.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    stamp = f"{CACHE_VERSION}|{version}|{path}|{name}|{status.st_mtime_ns}|{status.st_size}"
    kept = os.path.join(cache_folder(), hashlib.sha256(f"{path}|{name}".encode()).hexdigest() + ".msgpack")
    try:
        with open(kept, "rb") as stream:
            found_stamp, module = msgspec.msgpack.decode(stream.read(), type=tuple[str, Module])
        if found_stamp == stamp:
            return module
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        module = None  # not kept yet, or kept by another version: read the source
    try:
        with open(path, "rb") as stream:
            tree = ast.parse(stream.read(), path)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    module = _Reader(name, is_package).read(tree)
    _keep(kept, msgspec.msgpack.encode((stamp, module)))
    return module


def _keep(path: str, data: bytes) -> None:
    aside = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(aside, "wb") as stream:
            stream.write(data)
        os.replace(aside, path)
    except OSError:
        return  # a cache that cannot be written only costs time


class _Reader:
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
            found.classes[statement.name] = _class(statement, self._module)
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


def _class(statement: ast.ClassDef, module: str) -> Class:
    methods: dict[str, Function] = {}
    names: list[str] = []
    abstract: list[str] = []
    attributes = Attributes(module)
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
    aliases: list[str] = []
    opaque = False
    for decorator in statement.decorator_list:
        last = _last(decorator)
        opaque = opaque or last in ("dataclass", "define", "frozen", "attrs", "s", "mutable")
        if last == "alias" and isinstance(decorator, ast.Call):
            aliases += [text for argument in decorator.args[:1] for text in _strings(argument)]
    bases = [_dotted(base.value if isinstance(base, ast.Subscript) else base) or "" for base in statement.bases]
    loose = any(base.rpartition(".")[2] == "Protocol" for base in bases) or any(
        keyword.arg == "metaclass" and _last(keyword.value) != "ABCMeta" for keyword in statement.keywords
    )
    loose = loose or "__subclasshook__" in methods
    return Class(bases, methods, names, aliases, opaque, abstract, attributes.types(), attributes.is_open, loose)


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
