"""``__run__`` of a config: what is called, under which name, with whose code, and how a run of it is kept."""

from __future__ import annotations

import os
import re
from typing import Any

from flambe.compile.anchor import Edit, is_fixed, rewrite
from flambe.compile.dump import scalar
from flambe.compile.lowering import FAULT, Lowering, Place, Where
from flambe.compile.yaml import STANDARD, Mapping, Node, Scalar, bared, child, describe, text_of, value_of
from flambe.errors import ConfigError, Position, did_you_mean, nearest
from flambe.spec.codec import unescape

RUN = "__run__"
STAGE = "main"
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
            edits.append(rewrite(node, absolute(node.text, node.position if key == "__code__" else None)))
    return edits


def absolute(text: str, position: Position | None) -> str:
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


class RunSettings:
    """The keys of ``__run__``, each read when it is asked for. What is wrong is noted in ``lowering``, and the usual is returned.

    tree: the whole config. at: where the function stands in the spec. given: the keys with their values.
    """

    def __init__(self, tree: Mapping, lowering: Lowering, at: Where) -> None:
        self._low = lowering
        self._at = at
        self.given = self._read(tree)

    def _read(self, tree: Mapping) -> dict[str, Node]:
        node = bared(child(tree, RUN) or tree)
        if not isinstance(node, Mapping) or node.tag is not None:
            what = f"{RUN} is {node.tag or describe(node)}"
            self._low.fault(
                node.position, what, rule="invalid-parameter", expected=f"a mapping of {', '.join(_NEEDED)}"
            )
            return {}
        found = {str(key): (key_node, bared(value)) for key, key_node, value in self._low.pairs(node)}
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
        return {key: value for key, (_, value) in found.items()}

    def text(self, key: str) -> str | None:
        """Return a text of ``__run__``; None where there is none, which is noted."""
        if key not in self.given:
            return None
        node = self.given[key]
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

    def name(self) -> str:
        """Return the run's name, a path below the folder of all runs."""
        name = self.text("__name__")
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
                self.given["__name__"].position,
                f"__name__ is {name if len(name) < 100 else f'{name[:100]}…'!r}, which {wrong}",
                rule="invalid-name",
                expected="names of folders, separated by '/', below __output_dir__",
            )
        return name

    def code(self) -> str:
        """Return the absolute folder of the code."""
        text = self.text("__code__")
        if text is None:
            return os.getcwd()
        node = self.given["__code__"]
        folder = absolute(text, node.position)
        if not os.path.isdir(folder):
            above, name = os.path.split(folder)
            hint = did_you_mean(name, os.listdir(above)) if os.path.isdir(above) else None
            self._low.fault(node.position, f"__code__: there is no folder {folder}", rule="missing-file", hint=hint)
        return folder

    def snapshot(self) -> str:
        """Return how the code is kept: one of ``SNAPSHOTS``, or ``CUSTOM``."""
        if "__snapshot__" in self.given and isinstance(self.given["__snapshot__"], Mapping):
            return CUSTOM
        return self._choice("__snapshot__", SNAPSHOTS)

    def _choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """Return what is chosen, the first of ``allowed`` where nothing is or it is a fault, which is noted."""
        if key not in self.given:
            return allowed[0]
        node = self.given[key]
        # YAML has a word of its own for one of the choices.
        text = "none" if isinstance(node, Scalar) and node.tag is None and value_of(node) is None else text_of(node)
        if text in allowed:
            return text
        hint = did_you_mean(text or "", allowed)
        expected = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
        self._fault(key, f"is {_shown(node)!r}", expected, hint)
        return allowed[0]

    def _fault(self, key: str, what: str, expected: str | None, hint: str | None = None) -> None:
        node = self.given[key]
        if node.tag != f"!{FAULT}":
            self._low.fault(node.position, f"{key} {what}", rule="invalid-parameter", expected=expected, hint=hint)

    def others(self) -> dict[str, Any]:
        """Return what ``__run__`` asks for beside the usual, by names without underscores."""
        found: dict[str, Any] = {}
        for key, allowed in _CHOICES.items():
            chosen = self._choice(key, allowed)
            if chosen != allowed[0]:
                found[key.strip("_")] = chosen
        log = self._class_or_switch("__log__")
        if log is not True:
            found["log"] = log
        if "__snapshot__" in self.given and isinstance(self.given["__snapshot__"], Mapping):
            found["version_manager"] = self._class_or_switch("__snapshot__")
        if "__seeding__" in self.given:
            node = self.given["__seeding__"]
            value = value_of(node) if isinstance(node, Scalar) and node.tag is None else ""
            if value is None or (isinstance(value, str) and is_function_name(value)):
                found["seeding"] = value
            elif value != "auto":
                self._fault("__seeding__", f"is {_shown(node)!r}", "auto, null or package.module:function")
        if "__scheduler__" in self.given:
            node = self.given["__scheduler__"]
            asked = bared(child(node, "name") or node) if isinstance(node, Mapping) else node
            if text_of(asked) != "local":
                remedy = "Submit the spec: flambe-compile FILE | flambe-cluster submit."
                self._fault("__scheduler__", f"cannot be {_shown(asked)} here", "local", remedy)
        return found

    def _class_or_switch(self, key: str) -> Any:
        """Return true or false, or the name and the arguments of a class."""
        node = self.given.get(key)
        if node is None:
            return True
        if isinstance(node, Mapping) and node.tag is None:
            value = self._low.value(node, Place((*self._at, "settings", key.strip("_")), (STAGE, "settings")))
            name = value.get("name") if isinstance(value, dict) else None
            if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")) or "." not in name:
                self._fault(key, "names no class", "{name: package.module.Class, argument: value}")
                return True
            return unescape(value)
        value = value_of(node) if isinstance(node, Scalar) and node.tag is None else None
        if not isinstance(value, bool):
            self._fault(key, f"is {_shown(node)!r}", "true, false, or {name: package.module.Class}")
            return True
        return value

    def retries(self) -> int:
        """Return how often a run that failed is tried again."""
        if "__retries__" not in self.given:
            return 0
        node = self.given["__retries__"]
        value = value_of(node) if isinstance(node, Scalar) and node.tag is None else None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self._fault("__retries__", f"is {_shown(node)!r}", "how often a failed run is tried again: 0, 1, …")
        return 0

    def resources(self) -> dict[str, float] | None:
        """Return how many CPUs (the threads of its libraries) and GPUs each run has."""
        if "__resources__" not in self.given:
            return None
        node = self.given["__resources__"]
        if not isinstance(node, Mapping) or node.tag is not None:
            self._fault("__resources__", f"is {_shown(node)!r}", "{cpus: 1, gpus: 0}")
            return None
        found: dict[str, float] = {}
        for name, key_node, given in self._low.pairs(node):
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
                self._low.value(one, Place(("devices", str(name)), None))  # notes where it stands
            else:
                what = f"{name} of __resources__ is {_shown(one)!r}"
                self._low.fault(one.position, what, rule="invalid-parameter", expected="a number")
        return found or None


def is_function_name(text: str) -> bool:
    """Whether it has the form ``package.module:function``."""
    module, colon, name = text.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), name))


def _shown(node: Node) -> str:
    return node.text if isinstance(node, Scalar) and node.plain else describe(node)
