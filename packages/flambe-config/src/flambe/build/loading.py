"""A saved component to objects: arguments first, then the object, then its state."""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from flambe.build.builder import build_arguments, construct
from flambe.build.component import Component
from flambe.build.config import MAY_CALL, RESULT, SAVED
from flambe.build.encoding import Decoder, State
from flambe.build.link import follow_attributes
from flambe.build.made import Made, Origin, record
from flambe.build.manifest import Manifest, read_manifest
from flambe.build.parts import child_at
from flambe.build.registrable import target_of
from flambe.build.saving import source_of
from flambe.build.scope import Scope, check_call
from flambe.build.state import LoadError, check_class_version, load_own, read_tree
from flambe.build.tensors import TornFile, read_tensors
from flambe.build.trust import Extensions, find_data_class, locate
from flambe.cli.console import say
from flambe.errors import FlambeError, ProvenanceError
from flambe.record.layout import SOURCE_PY, STATE_TENSORS
from flambe.runner.seeding import rng_state, set_rng_state
from flambe.spec.hooks import codecs_in_use
from flambe.spec.nodes import ARGS, NEW, arguments
from flambe.spec.shape import shortened

Results = Callable[[Mapping[str, Any], Path], Any]

_ENCODED = (
    "$tensor",
    "$set",
    "$frozenset",
    "$deque",
    "$int",
    "$scalar",
    "$text",
    "$path",
    "$kind",
    "$data",
    "$state",
)


def load_component(
    folder: Path,
    *,
    extensions: Extensions | None = None,
    results: Results | None = None,
    mmap: bool = True,
    verify: bool | None = None,
    rename: Mapping[str, str] | None = None,
) -> Any:
    """Build what ``save_component`` wrote, with its state; parts that were shared are shared again.

    extensions: modules that the caller vouches for, beside flambe's and torch's. results: how a borrowed immutable is found
    (its reference and the folder that names it); default: it is loaded from the path of the reference.
    mmap: arrays and weights are pages of the files, read when touched and copied when changed. verify: compare every file with its
    digest first (True), none (False), or all but the files of tensors, which may be large: these have to be as long as
    their header says (None).
    rename: names that classes or modules had when it was saved → what they are called now (``old_module:Old`` → ``new_module:New``,
    or ``old_module`` → ``new_module``); the new name has to be one that may be loaded.

    Random numbers that constructors draw on the way are not missed afterwards: all generators stand where they stood before.

    Raises ``LoadError`` (missing, torn, changed, of another version), ``ProvenanceError`` for classes nobody vouched for.
    """
    return _Loader(extensions or (), results, mmap, verify, rename or {}).load_root(Path(folder))


class _Loader:
    def __init__(
        self,
        extensions: Extensions,
        results: Results | None,
        mmap: bool,
        verify: bool | None,
        rename: Mapping[str, str],
    ) -> None:
        self._rename = rename
        self._extensions = extensions
        self._results = results
        self._mmap = mmap
        self._verify = verify
        self._made: dict[Path, Any] = {}
        self._loading: set[Path] = set()
        self._given: list[tuple[Any, Path]] = []
        self._entered = ExitStack()
        self._prepared: set[str] = set()

    def load_root(self, folder: Path) -> Any:
        with self._entered:
            self._entered.callback(set_rng_state, rng_state(only_loaded=True), only_loaded=True)
            root = self._load(folder)
            # A constructor may change the parts it is given (a transformer draws all weights anew), so they get their state again.
            # Read anew: what was changed in place may have been the memory of the first reading.
            for value, place in self._given:
                if value is not root and not getattr(value, "immutable", False):
                    load_own(value, self._read_state(place)[0], take=True)
        return root

    def _prepare(self) -> None:
        """Let the libraries that were imported by now know that states come: what these replace need not be drawn at random."""
        for name, codec in codecs_in_use().items():
            if name not in self._prepared:
                self._prepared.add(name)
                self._entered.callback(codec.set_rng_state, codec.rng_state())
                self._entered.enter_context(codec.deferring())

    def _load(self, folder: Path) -> Any:
        try:
            place = folder.resolve()
        except (OSError, ValueError) as error:  # a loop of links, no path at all: a manifest may say anything
            raise LoadError(f"{str(folder)!r} is no folder: {error}") from error
        if place in self._made:
            return self._made[place]
        if place in self._loading:
            raise LoadError(f"{folder} is needed to make itself")
        self._loading.add(place)
        manifest = self._manifest(folder)
        state, decode = self._read_state(folder)
        try:
            owner, factory = locate(manifest.config[NEW], self._extensions)
        except FlambeError as error:
            error.what = f"{folder} holds a {manifest.config[NEW]}: {error.what}"
            if isinstance(error, ProvenanceError):
                error.hint = _remedy(manifest, place)
            else:
                moved = f'If it is called otherwise now: flambe.load(…, rename={{"{manifest.config[NEW]}": "module:Class"}}).'
                error.hint = f"{error.hint} {moved}" if error.hint else moved
            raise
        self._compare(owner, manifest, folder)
        scope = Scope(extensions=self._extensions, may_call=MAY_CALL, special=self._specials(folder, decode))
        given: dict[Any, Any] = {**dict(enumerate(manifest.config.get(ARGS, ()))), **arguments(manifest.config)}
        # A class may be shown its arguments before they are built only when it is built from a spec: here all are built.
        values, origins = build_arguments(None, given, scope, ())
        value = self._make(owner, factory, values, manifest, origins, state, folder)
        self._made[place] = value
        self._given.append((value, folder))
        self._load_rest(value, manifest, folder)
        return value

    def _manifest(self, folder: Path) -> Manifest:
        manifest = read_manifest(folder, verify=self._verify)
        if self._rename:
            manifest.class_ = _renamed(manifest.class_, self._rename)
            manifest.config = _renamed_in(manifest.config, self._rename)
        return manifest

    def _find_data_class(self, name: str) -> Any:
        return find_data_class(_renamed(name, self._rename), extensions=self._extensions)

    def _read_state(self, folder: Path) -> tuple[State, Callable[[Any], Any]]:
        try:
            tensors = read_tensors(folder / STATE_TENSORS, mmap=self._mmap)
        except OSError as error:
            raise LoadError(f"cannot read {folder / STATE_TENSORS}: {error.strerror}") from error
        except TornFile as error:
            raise LoadError(error.what) from error
        decoder = Decoder(tensors, self._find_data_class)
        state = decoder.decode(read_tree(folder)["state"])
        if not isinstance(state, State):
            raise LoadError(f"{folder} holds no state of a component, but a {type(state).__qualname__}")
        return state, decoder.decode

    def _make(
        self,
        owner: Any,
        factory: str | None,
        values: dict[Any, Any],
        manifest: Manifest,
        origins: dict[Any, Origin],
        state: State,
        folder: Path,
    ) -> Any:
        args = tuple(value for key, value in values.items() if isinstance(key, int))
        kwargs = {key: value for key, value in values.items() if isinstance(key, str)}
        self._prepare()
        own_restore = isinstance(owner, type) and issubclass(owner, Component) and _overrides_restore(owner)
        if own_restore:
            value = owner.restore({**({ARGS: list(args)} if args else {}), **kwargs}, state)
            record(value, Made(manifest.class_, factory, args, kwargs, None, origins))
            return value
        try:
            value = construct(
                owner, factory, args, kwargs, target=manifest.class_, origins=origins, path=(folder.name,)
            )
        except FlambeError as error:
            error.what = f"{folder} cannot be made again: {error.what}"
            raise
        self._complain(load_own(value, state, take=True), folder)
        return value

    def _load_rest(self, value: Any, manifest: Manifest, folder: Path) -> None:
        """Give their state to the parts that the constructor made on its own."""
        for name in manifest.parts:
            below = folder / name
            if below.resolve() in self._made:
                continue
            child = child_at(value, name)
            if child is None:
                self._attach(value, name, self._load(below))
            else:
                self._load_into(child, below)

    def _load_into(self, child: Any, folder: Path) -> None:
        manifest = self._manifest(folder)
        saved = manifest.class_
        if saved.partition(":")[2] != target_of(type(child)).partition(":")[2]:
            raise LoadError(f"{folder} holds a {saved}, and a {target_of(type(child))} stands there now")
        state, _ = self._read_state(folder)
        check_class_version(child, manifest.version, str(folder))
        self._made[folder.resolve()] = child
        self._load_rest(child, manifest, folder)
        self._complain(load_own(child, state, take=True), folder)

    @staticmethod
    def _attach(owner: Any, name: str, child: Any) -> None:
        """Put a part where it was when it was saved, if the constructor left the place empty."""
        if "." not in name and not name.startswith("arg-"):
            setattr(owner, name, child)
            return
        holder, _, last = name.rpartition(".")
        container = child_at(owner, holder) if holder else None
        if isinstance(container, dict):
            container[last] = child
        elif isinstance(container, list) and int(last) == len(container):
            container.append(child)
        else:
            say(
                f"warning: the part {name!r} of a {type(owner).__qualname__} was saved, and there is no place for it now"
            )

    @staticmethod
    def _complain(complaints: list[str], folder: Path) -> None:
        if complaints:
            say(f"warning: the state in {folder} does not quite fit its class: {'; '.join(complaints)}")

    def _compare(self, owner: Any, manifest: Manifest, folder: Path) -> None:
        if not isinstance(owner, type):
            return
        saved, now = manifest.version, str(getattr(owner, "_flambe_version", "0.0.0"))
        if saved != now and saved != "0.0.0":
            check_class_version(_OfClass(owner), saved, str(folder))
        path = folder / SOURCE_PY
        if saved == "0.0.0" and path.exists():
            source = source_of(owner)
            before = path.read_text(encoding="utf-8")
            if source is not None and source != before:
                lines = difflib.unified_diff(
                    before.splitlines(), source.splitlines(), "saved", "here", lineterm="", n=1
                )
                say(f"warning: {owner.__qualname__} has changed since {folder} was saved:\n" + "\n".join(lines))

    # --- nodes that only saved components have ---

    def _specials(self, folder: Path, decode: Callable[[Any], Any]) -> dict[str, Any]:
        found: dict[str, Any] = {name: functools.partial(self._decoded, decode) for name in _ENCODED}
        found[SAVED] = functools.partial(self._saved, folder)
        found[RESULT] = functools.partial(self._result, folder)
        return found

    @staticmethod
    def _decoded(decode: Callable[[Any], Any], node: dict[str, Any]) -> tuple[Any, Origin | None]:
        return decode(node), None

    def _saved(self, folder: Path, node: dict[str, Any]) -> tuple[Any, Origin | None]:
        if not isinstance(node[SAVED], str):
            raise LoadError(f"{folder} holds the part {shortened(node[SAVED])}", expected="the name of a folder")
        return _onward(self._load(folder / node[SAVED]), node)

    def _result(self, folder: Path, node: dict[str, Any]) -> tuple[Any, Origin | None]:
        reference = node[RESULT]
        if not (
            isinstance(reference, dict) and isinstance(reference.get("path"), str) and "\0" not in reference["path"]
        ):
            raise LoadError(f"{folder} holds the result {shortened(reference)}", expected="its stage and its path")
        if self._results is not None:
            return _onward(self._results(reference, folder), node)
        path = Path(os.path.normpath(folder / reference["path"]))
        if not path.is_dir():
            raise LoadError(
                f"{folder} was made with the result of the stage {reference.get('stage')!r}, which is not at {path}",
                hint="Keep the run directory together, or use flambe-build, which stores everything in one folder.",
            )
        return _onward(self._load(path), node)


class _OfClass:
    """Answers for a class in ``check_class_version``, which looks at the type of an object that is not made yet."""

    def __new__(cls, owner: type) -> Any:
        return type(
            owner.__name__,
            (),
            {"__qualname__": owner.__qualname__, "_flambe_version": getattr(owner, "_flambe_version", "0.0.0")},
        )()


def _renamed(name: str, rename: Mapping[str, str]) -> str:
    """Return what is called ``name`` (``module:Class``, ``module:Class.factory``) by its name of now."""
    for old, new in rename.items():
        if name == old or (":" in old and name.startswith(f"{old}.")):
            return new + name[len(old) :]
    module, colon, rest = name.partition(":")
    for old, new in rename.items():
        if ":" not in old and colon and (module == old or module.startswith(f"{old}.")):
            return f"{new}{module[len(old) :]}:{rest}"
    return name


def _renamed_in(node: Any, rename: Mapping[str, str]) -> Any:
    if isinstance(node, list):
        return [_renamed_in(item, rename) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _renamed(value, rename)
        if key in (NEW, "$data", "$kind") and isinstance(value, str)
        else _renamed_in(value, rename)
        for key, value in node.items()
    }


def _onward(value: Any, node: dict[str, Any]) -> tuple[Any, Origin | None]:
    attr = tuple(node.get("attr", ()))
    if not all(isinstance(name, str) for name in attr):
        raise LoadError(f"{shortened(node)} names no attributes")
    call = bool(node.get("call"))
    text = "saved" + "".join(f".{name}" for name in attr)
    found = follow_attributes(value, attr, link=text)
    if call:
        check_call(attr, text, MAY_CALL)
    return (found() if call else found), Origin(base=value, attr=attr, call=call)


def _overrides_restore(owner: type[Component]) -> bool:
    return owner.restore.__func__ is not Component.restore.__func__  # type: ignore[attr-defined]


def _remedy(manifest: Manifest, folder: Path) -> str:
    top = manifest.config[NEW].partition(":")[0].partition(".")[0]
    source = manifest.extensions.get(top) or "sha256:"
    # A digest tells which code it was; where that lies now, the reader of this message knows.
    source = f"path/to/{top}" if source.startswith("sha256:") else source
    return (
        f"If you trust it: name it in the header of the YAML file, `{top}: {source}`, or "
        f'flambe.load({str(folder)!r}, extensions={{"{top}": "{source}"}}) in Python.'
    )


__all__ = ["load_component"]
