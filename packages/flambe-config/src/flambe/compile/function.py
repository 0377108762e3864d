"""A config with ``__run__`` → a spec of kind ``function``: a function of the user's own, called with a name and a config."""

from __future__ import annotations

import os
import re
from typing import Any

from flambe.compile.anchor import Edit, is_fixed, rewrite
from flambe.compile.compose import DEFAULT, POLICY
from flambe.compile.dump import scalar
from flambe.compile.extensions import Header
from flambe.compile.lowering import FAULT, Lowering, Place, Where
from flambe.compile.source import Class, Function
from flambe.compile.yaml import (
    STANDARD,
    Mapping,
    Node,
    Scalar,
    bared,
    child,
    describe,
    text_of,
    value_of,
)
from flambe.errors import ConfigError, Position, did_you_mean, nearest
from flambe.spec.codec import escape, unescape
from flambe.spec.nodes import FILE, NEW, Environment, Spec, Stage

RUN = "__run__"
STAGE = "main"
TARGET = "flambe.runnable:Function"
SNAPSHOTS = ("copy", "git", "none")
CUSTOM = "custom"
"""The snapshot that a class of the user's makes, which ``settings["version_manager"]`` names."""
_NEEDED = ("__main__", "__output_dir__", "__name__")
# What is to be done with code, requirements and streams; the first of each is what is done anyway.
_CHOICES = {
    "__dirty__": ("include", "head", "refuse"),
    "__requirements__": ("freeze", "declared", "none"),
    "__streams__": ("tee", "file", "none"),
}
_OTHERS = ("__log__", "__seeding__", "__retries__", "__resources__", "__scheduler__")
_AMOUNTS = ("cpus", "gpus")
_NO_AMOUNTS = ("memory", "time")
LANGUAGE = (DEFAULT, POLICY, RUN)
KEYS = (*_NEEDED, "__code__", "__snapshot__", *_CHOICES, *_OTHERS)


def name_node(tree: Node) -> Node | None:
    """Return the value of ``__name__``."""
    run = child(tree, RUN)
    found = child(run, "__name__") if run is not None else None
    return None if found is None else bared(found)


def anchor_run(tree: Node) -> list[Edit]:
    """Make the folders of ``__run__`` absolute, the code's also where it is left out; return what was changed.

    ``./`` and ``../`` of ``__code__`` start at the file, all else at the working directory. What begins with a variable or
    a reference stays.
    """
    run = bared(child(tree, RUN) or tree)
    if not isinstance(run, Mapping) or not run.items:
        return []
    edits: list[Edit] = []
    if child(run, "__code__") is None:
        here = run.items[0][0].position
        code = Scalar(None, here, os.getcwd(), False)
        run.items.insert(0, (Scalar(None, here, "__code__", True), code))
        edits.append(Edit(here, None, f"__code__: {scalar(code.text)}"))
    for key in ("__output_dir__", "__code__"):
        node = bared(child(run, key) or run)
        if isinstance(node, Scalar) and node.text and not is_fixed(node.text):
            edits.append(rewrite(node, _absolute(node.text, node.position if key == "__code__" else None)))
    return edits


def _absolute(text: str, position: Position | None) -> str:
    """Return a folder's absolute path. position: where it is written, when ``./`` starts at that file."""
    path = os.path.expanduser(text)
    if position is not None and f"{path}/".startswith(("./", "../")) and path != "." and os.path.isfile(position.file):
        path = os.path.join(os.path.dirname(position.file), path)
    return os.path.abspath(path)


def add_defaults(tree: Node, defaults: Mapping) -> None:
    """Give a config the keys of ``__run__`` that it lacks: those of a decorated function need none."""
    if not isinstance(tree, Mapping) or tree.tag is not None:
        what = f"the config of a function is {describe(tree)}"
        raise ConfigError(what, rule="invalid-parameter", position=tree.position, expected="a mapping")
    run = bared(child(tree, RUN) or tree)
    if run is tree:
        tree.items.insert(0, (Scalar(None, defaults.position, RUN, True), defaults))
    elif isinstance(run, Mapping):
        known = {text_of(key) for key, _ in run.items}
        run.items.extend((key, value) for key, value in defaults.items if text_of(key) not in known)


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
        run = self._run()
        code = self._code(run)
        main = self._main(run, code)
        name = self._name(run)
        folder = self._text(run, "__output_dir__")
        body = {
            NEW: TARGET,
            "main": main,
            "name": name,
            "config": low.value(config, Place((*self._at, "config"), (STAGE, "config"))),
            "code": {FILE: code},
            "snapshot": self._snapshot(run),
        }
        settings = self._settings(run)
        if settings:
            body["settings"] = escape(settings)
        for place in low.endless:
            low.endless_fault(place, "A function is run once for each value: name them")
        spec = Spec(
            kind="function",
            name=name,
            output_dir=_absolute(folder, None) if folder else "",
            seed=low.seed,
            max_failures=self._retries(run),
            devices=self._resources(run),
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

    def _run(self) -> dict[str, tuple[Node, Node]]:
        """Return the keys of ``__run__``: (key, value) trees."""
        node = bared(child(self._tree, RUN) or self._tree)
        if not isinstance(node, Mapping) or node.tag is not None:
            what = f"{RUN} is {node.tag or describe(node)}"
            self._low.fault(
                node.position, what, rule="invalid-parameter", expected=f"a mapping of {', '.join(_NEEDED)}"
            )
            return {}
        found = {str(key): (key_node, bared(value)) for key, key_node, value in self._low._pairs(node)}
        meant = set()
        for key, (key_node, _) in found.items():
            if key not in KEYS:
                near = nearest(key, KEYS)
                meant.add(near)
                hint = None if near is None else f"Did you mean {near!r}?"
                expected = None if hint else f"one of {', '.join(KEYS)}"
                what = f"{RUN} has no key {key!r}"
                self._low.fault(key_node.position, what, rule="unknown-parameter", expected=expected, hint=hint)
        missing = [key for key in _NEEDED if key not in found and key not in meant]
        if missing:
            words = {"__main__": "package.module:function", "__output_dir__": "the folder of all runs",
                     "__name__": "the name of the run"}  # fmt: skip
            what = f"{RUN} has no {' and no '.join(missing)}"
            expected = ", ".join(f"{key}: {words[key]}" for key in missing)
            self._low.fault(node.position, what, rule="missing-parameter", expected=expected)
        return found

    def _text(self, run: dict[str, tuple[Node, Node]], key: str) -> str | None:
        """Return a text of ``__run__``; None where there is none, which is noted."""
        if key not in run:
            return None
        node = run[key][1]
        at: Where = ("output_dir",) if key == "__output_dir__" else (*self._at, key.strip("_"))
        self._low.places[at] = node.position
        if node.tag == f"!{FAULT}":
            return None
        if isinstance(node, Scalar) and node.text.strip() and node.tag in (None, f"{STANDARD}str"):
            value = value_of(node)
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                return node.text
        what = f"{key} is {node.tag if node.tag and node.tag.startswith('!') else describe(node)}"
        self._low.fault(node.position, what, rule="invalid-parameter", expected="text")
        return None

    def _name(self, run: dict[str, tuple[Node, Node]]) -> str:
        name = self._text(run, "__name__")
        if name is None:
            return ""
        parts = name.split("/")
        wrong = None
        if name.startswith("/"):
            wrong = "is absolute"
        elif "" in parts:
            wrong = "has an empty part"
        elif {".", ".."} & set(parts):
            wrong = f"has the part {'..' if '..' in parts else '.'!r}"
        elif any(re.fullmatch(r"exp\.\d+", part) for part in parts):
            wrong = "has a part that is the name of a run"
        elif any(len(part.encode()) > 200 for part in parts):
            wrong = "has a part of more than 200 bytes"
        elif re.search(r"[\x00-\x1f\x7f]", name):
            wrong = "has characters that cannot be seen"
        if wrong is not None:
            self._low.fault(
                run["__name__"][1].position,
                f"__name__ is {name if len(name) < 100 else f'{name[:100]}…'!r}, which {wrong}",
                rule="invalid-name",
                expected="names of folders, separated by '/', below __output_dir__",
            )
        return name

    def _code(self, run: dict[str, tuple[Node, Node]]) -> str:
        text = self._text(run, "__code__")
        if text is None:
            return os.getcwd()
        node = run["__code__"][1]
        folder = _absolute(text, node.position)
        if not os.path.isdir(folder):
            above, name = os.path.split(folder)
            hint = did_you_mean(name, os.listdir(above)) if os.path.isdir(above) else None
            self._low.fault(node.position, f"__code__: there is no folder {folder}", rule="missing-file", hint=hint)
        return folder

    def _snapshot(self, run: dict[str, tuple[Node, Node]]) -> str:
        if "__snapshot__" in run and isinstance(run["__snapshot__"][1], Mapping):
            return CUSTOM
        return self._choice(run, "__snapshot__", SNAPSHOTS)

    def _choice(self, run: dict[str, tuple[Node, Node]], key: str, allowed: tuple[str, ...]) -> str:
        """Return what is chosen, the first of ``allowed`` where nothing is or it is a fault, which is noted."""
        if key not in run:
            return allowed[0]
        node = run[key][1]
        # YAML has a word of its own for one of the choices.
        text = "none" if isinstance(node, Scalar) and node.tag is None and value_of(node) is None else text_of(node)
        if text in allowed:
            return text
        hint = did_you_mean(text or "", allowed)
        expected = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
        self._fault(run, key, f"is {_shown(node)!r}", expected, hint)
        return allowed[0]

    def _fault(
        self, run: dict[str, tuple[Node, Node]], key: str, what: str, expected: str | None, hint: str | None = None
    ) -> None:
        node = run[key][1]
        if node.tag != f"!{FAULT}":
            self._low.fault(node.position, f"{key} {what}", rule="invalid-parameter", expected=expected, hint=hint)

    def _settings(self, run: dict[str, tuple[Node, Node]]) -> dict[str, Any]:
        """Return what ``__run__`` asks for beside the usual, by names without underscores."""
        found: dict[str, Any] = {"context": True} if self._takes_context else {}
        for key, allowed in _CHOICES.items():
            chosen = self._choice(run, key, allowed)
            if chosen != allowed[0]:
                found[key.strip("_")] = chosen
        log = self._class_or_switch(run, "__log__")
        if log is not True:
            found["log"] = log
        if "__snapshot__" in run and isinstance(run["__snapshot__"][1], Mapping):
            found["version_manager"] = self._class_or_switch(run, "__snapshot__")
        if "__seeding__" in run:
            node = run["__seeding__"][1]
            value = value_of(node) if isinstance(node, Scalar) and node.tag is None else ""
            if value is None or (isinstance(value, str) and _is_function_name(value)):
                found["seeding"] = value
            elif value != "auto":
                self._fault(run, "__seeding__", f"is {_shown(node)!r}", "auto, null or package.module:function")
        if "__scheduler__" in run:
            node = run["__scheduler__"][1]
            asked = bared(child(node, "name") or node) if isinstance(node, Mapping) else node
            if text_of(asked) != "local":
                remedy = "Submit the spec: flambe-compile FILE | flambe-cluster submit."
                self._fault(run, "__scheduler__", f"cannot be {_shown(asked)} here", "local", remedy)
        return found

    def _class_or_switch(self, run: dict[str, tuple[Node, Node]], key: str) -> Any:
        """Return true or false, or the name and the arguments of a class."""
        node = run[key][1] if key in run else None
        if node is None:
            return True
        if isinstance(node, Mapping) and node.tag is None:
            value = self._low.value(node, Place((*self._at, "settings", key.strip("_")), (STAGE, "settings")))
            name = value.get("name") if isinstance(value, dict) else None
            if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")) or "." not in name:
                self._fault(run, key, "names no class", "{name: package.module.Class, argument: value}")
                return True
            return unescape(value)
        value = value_of(node) if isinstance(node, Scalar) and node.tag is None else None
        if not isinstance(value, bool):
            self._fault(run, key, f"is {_shown(node)!r}", "true, false, or {name: package.module.Class}")
            return True
        return value

    def _retries(self, run: dict[str, tuple[Node, Node]]) -> int:
        if "__retries__" not in run:
            return 0
        node = run["__retries__"][1]
        value = value_of(node) if isinstance(node, Scalar) and node.tag is None else None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self._fault(run, "__retries__", f"is {_shown(node)!r}", "how often a failed run is tried again: 0, 1, …")
        return 0

    def _resources(self, run: dict[str, tuple[Node, Node]]) -> dict[str, float] | None:
        """Return how many CPUs (the threads of its libraries) and GPUs each run has."""
        if "__resources__" not in run:
            return None
        node = run["__resources__"][1]
        if not isinstance(node, Mapping) or node.tag is not None:
            self._fault(run, "__resources__", f"is {_shown(node)!r}", "{cpus: 1, gpus: 0}")
            return None
        found: dict[str, float] = {}
        for name, key_node, given in self._low._pairs(node):
            one = bared(given)
            value = value_of(one) if isinstance(one, Scalar) and one.tag is None else None
            if name in _NO_AMOUNTS:
                if value is not None:
                    remedy = "a cluster's scheduler is told in the cluster file"
                    self._low.warn(
                        key_node.position, f"{name} of __resources__ has no effect here; {remedy}", "unused-value"
                    )
            elif name not in _AMOUNTS:
                known = (*_AMOUNTS, *_NO_AMOUNTS)
                what = f"__resources__ has no {name!r}"
                hint = did_you_mean(str(name), known)
                expected = None if hint else ", ".join(known)
                self._low.fault(key_node.position, what, rule="unknown-parameter", expected=expected, hint=hint)
            elif isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
                found[str(name)] = value
            else:
                what = f"{name} of __resources__ is {_shown(one)!r}"
                self._low.fault(one.position, what, rule="invalid-parameter", expected="a number")
        return found or None

    # The function ----------------------------------------------------------------------------------------------------

    def _main(self, run: dict[str, tuple[Node, Node]], code: str) -> str:
        main = self._text(run, "__main__")
        if main is None:
            return ""
        position = run["__main__"][1].position
        module, colon, name = main.partition(":")
        if not _is_function_name(main):
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


def _is_function_name(text: str) -> bool:
    module, colon, name = text.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), name))


def _modules(folders: list[str]) -> list[str]:
    return [
        entry.name.removesuffix(".py")
        for folder in folders
        if os.path.isdir(folder)
        for entry in os.scandir(folder)
        if entry.name.endswith(".py") or (entry.is_dir() and entry.name.isidentifier())
    ]


def _shown(node: Node) -> str:
    return node.text if isinstance(node, Scalar) and node.plain else describe(node)
