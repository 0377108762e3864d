"""What Python source says about itself: the names of a module, its classes and their arguments, read with ``ast``.

No module is ever imported. A file is read when a tag needs it (by ``statements``), and what was found in it is kept in the
user's cache folder with its path, size and modification time, so that the second compilation reads no Python at all.
"""

from __future__ import annotations

import os
import sys
from binascii import crc32

import msgspec

from flambe.compile.annotations import Type

CACHE_VERSION = "15"  # changes whenever what is read from a file changes

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

    names: its methods. opaque: its arguments cannot be read from the source (a dataclass, …). attributes: what
    its objects have beside methods, and what annotations tell of them. open: they may have others. loose: other objects than those
    of its subclasses may count as its own (a protocol, …). flags: what ``name = True`` or ``False`` in its body says.
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
    flags: dict[str, bool] = {}


class Module(msgspec.Struct, array_like=True):
    """The names of one module. imports: local name → ``module:name`` (``module:`` for a module itself).

    types: names that stand for a type (``Number = int | float``, ``NewType("Weight", float)``, ``TypeVar("T", bound=…)``).
    """

    imports: dict[str, str] = {}
    stars: list[str] = []
    assigned: dict[str, str] = {}
    classes: dict[str, Class] = {}
    functions: dict[str, Function] = {}
    exported: list[str] | None = None
    dynamic: bool = False
    types: dict[str, Type] = {}


_KEPT = msgspec.msgpack.Decoder(tuple[str, Module])


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
    kept = os.path.join(cache_folder(), f"{name}-{crc32(path.encode()):08x}.msgpack")
    try:
        with open(kept, "rb") as stream:
            found_stamp, module = _KEPT.decode(stream.read())
        if found_stamp == stamp:
            return module
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        module = None  # not kept yet, or kept by another version: read the source
    import ast  # reading Python is rare, and these two take as long as checking a small file
    import time

    from flambe.compile.statements import Reader

    start = time.process_time()
    try:
        with open(path, "rb") as stream:
            tree = ast.parse(stream.read(), path)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    module = Reader(name, is_package).read(tree)
    _keep(kept, msgspec.msgpack.encode((stamp, module)))
    _explain_wait(time.process_time() - start, name)
    return module


NOTICED_S = 0.3
"""What people take for an answer at once; where reading takes longer, it is said why, and said once."""
_waited_s = 0.0


def _explain_wait(seconds: float, module: str) -> None:
    global _waited_s
    before, _waited_s = _waited_s, _waited_s + seconds
    if before < NOTICED_S <= _waited_s:
        from flambe.cli.console import say

        library = module.partition(".")[0]
        say(f"reading the signatures of {library}: this once; they are kept in {os.path.dirname(cache_folder())}")


def _keep(path: str, data: bytes) -> None:
    aside = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(aside, "wb") as stream:
            stream.write(data)
        os.replace(aside, path)
    except OSError:
        return  # a cache that cannot be written only costs time
