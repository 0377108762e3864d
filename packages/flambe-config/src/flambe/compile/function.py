"""A config with ``__run__`` → a spec of kind ``function``: a function of the user's own, called with a name and a config."""

from __future__ import annotations

import os
import re
from typing import Any

from flambe.compile.compose import DEFAULT, POLICY
from flambe.compile.extensions import Header
from flambe.compile.lowering import Lowering, Place, Where
from flambe.compile.run_settings import RUN, STAGE, RunSettings, absolute, is_function_name
from flambe.compile.source import Class, Function
from flambe.compile.yaml import (
    Mapping,
    Node,
    Scalar,
    bared,
    child,
    text_of,
    value_of,
)
from flambe.errors import ConfigError, did_you_mean
from flambe.spec.codec import escape
from flambe.spec.nodes import FILE, NEW, Environment, Spec, Stage

TARGET = "flambe.runnable:Function"
LANGUAGE = (DEFAULT, POLICY, RUN)


def lower_function(
    tree: Mapping, lowering: Lowering, header: Header
) -> tuple[Spec, list[tuple[Any, Where, str | None]]]:
    """Return the spec of a config without references, and what of it is to be checked. Faults are noted in ``lowering``."""
    return _Function(tree, lowering, header).lower()


class _Function:
    def __init__(self, tree: Mapping, lowering: Lowering, header: Header) -> None:
        self._tree = tree
        self._low = lowering
        self._header = header
        self._at: Where = ("stages", 0, "body")
        self._takes_context = False

    def lower(self) -> tuple[Spec, list[tuple[Any, Where, str | None]]]:
        low, around = self._low, self._header
        config = Mapping(None, self._tree.position)
        config.items = [(key, value) for key, value in self._tree.items if text_of(key) != RUN]
        names = {text_of(key) for key, _ in config.items}
        for key, _ in config.items:
            self._no_language(key)
        low.link_root = lambda root: (STAGE, "config", root) if root in names else (root,)
        # Before anything is lowered: a search draws from it.
        low.seed = self._seed(config)
        run = RunSettings(self._tree, low, self._at)
        code = run.code()
        main = self._main(run, code)
        name = run.name()
        folder = run.text("__output_dir__")
        body = {
            NEW: TARGET,
            "main": main,
            "name": name,
            "config": low.value(config, Place((*self._at, "config"), (STAGE, "config"))),
            "code": {FILE: code},
            "snapshot": run.snapshot(),
        }
        settings = {**({"context": True} if self._takes_context else {}), **run.others()}
        if settings:
            body["settings"] = escape(settings)
        for place in low.endless:
            low.endless_fault(place, "A function is run once for each value: name them")
        spec = Spec(
            kind="function",
            name=name,
            output_dir=absolute(folder, None) if folder else "",
            seed=low.seed,
            max_failures=run.retries(),
            devices=run.resources(),
            debug=around.debug,
            stages=[Stage(name=STAGE, body=body, reuse=False)],
            environment=Environment(
                extensions=dict(around.extensions), files=dict(around.files), remote=around.remote, extra=around.extra
            ),
        )
        return spec, [({"config": body["config"]}, self._at, STAGE)]

    def _no_language(self, key: Node) -> None:
        """Note a key that looks like one of the language, and is none."""
        name = text_of(key) or ""
        if re.fullmatch(r"__\w+__", name):
            hint = did_you_mean(name, LANGUAGE)
            expected = None if hint else f"{', '.join(LANGUAGE)}, or another name"
            what = f"{name!r} is no key of the language"
            self._low.fault(key.position, what, rule="unknown-parameter", expected=expected, hint=hint)

    def _seed(self, config: Mapping) -> int:
        node = bared(child(config, "seed") or config)
        value = value_of(node) if isinstance(node, Scalar) and node.tag is None else None
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0

    def _main(self, run: RunSettings, code: str) -> str:
        main = run.text("__main__")
        if main is None:
            return ""
        position = run.given["__main__"].position
        module, colon, name = main.partition(":")
        if not is_function_name(main):
            hint = None
            if module.endswith(".py") or "/" in module:
                dotted = module.removesuffix(".py").strip("./").replace("/", ".")
                hint = f"Write {dotted}:{name or 'main'}"
            elif not colon and "." in main:
                hint = f"Write {module.rpartition('.')[0]}:{module.rpartition('.')[2]}"
            what = f"__main__ is {main!r}"
            expected = "package.module:function"
            self._low.fault(position, what, rule="invalid-parameter", expected=expected, hint=hint)
        elif os.path.isdir(code):
            error = self._missing(module, name, code)
            if error is not None:
                self._low.note(error, position)
        return main

    def _missing(self, module: str, name: str, code: str) -> ConfigError | None:
        """Return what is wrong with the function below the folder ``code``, from its source."""
        library = self._low.library
        top, *rest = module.split(".")
        if not (os.path.isdir(os.path.join(code, top)) or os.path.isfile(os.path.join(code, f"{top}.py"))):
            hint: str | None = did_you_mean(top, _modules([code])) or "Set __code__ to the folder that holds it."
            return ConfigError(f"there is no module {top!r} in {code}", rule="missing-function", hint=hint)
        root = os.path.join(code, f"{top}.py")
        library.add_root(top, root if os.path.isfile(root) else code)
        whole = top
        for part in rest:
            if not library.exists(f"{whole}.{part}"):
                folder = os.path.join(code, *whole.split("."))
                hint = did_you_mean(part, _modules([folder]))
                return ConfigError(f"there is no module {whole}.{part} in {code}", rule="missing-function", hint=hint)
            whole = f"{whole}.{part}"
        found = library.find(module, name)
        if found is None and not library.may_export(module, name):
            hint = did_you_mean(name, library.names(module))
            return ConfigError(f"{module} has no function {name!r}", rule="missing-function", hint=hint)
        if found is not None and isinstance(found.item, Class):
            what = f"{module}:{name} is a class"
            return ConfigError(what, rule="missing-function", expected="a function of the name and the config")
        if found is not None and isinstance(found.item, Function):
            error = _wrong_arguments(f"{module}:{name}", found.item)
            self._takes_context = error is None and _takes_one(found.item)
            return error
        return None


def _wrong_arguments(main: str, function: Function) -> ConfigError | None:
    slots = [one for one in function.parameters if one.kind in (0, 1)]
    rest = any(one.kind == 2 for one in function.parameters)
    required = sum(one.required for one in slots)
    by_name = [one.name for one in function.parameters if one.kind == 3 and one.required]
    if required <= 2 and (rest or len(slots) >= 1) and not by_name:
        return None
    names = ", ".join(one.name for one in function.parameters)
    return ConfigError(
        f"{main} takes ({names})", rule="missing-function", expected="a function of (name, config), or of (context)"
    )


def _takes_one(function: Function) -> bool:
    slots = [one for one in function.parameters if one.kind in (0, 1)]
    return len(slots) == 1 and not any(one.kind == 2 for one in function.parameters)


def _modules(folders: list[str]) -> list[str]:
    return [
        entry.name.removesuffix(".py")
        for folder in folders
        if os.path.isdir(folder)
        for entry in os.scandir(folder)
        if entry.name.endswith(".py") or (entry.is_dir() and entry.name.isidentifier())
    ]
