"""``Function``: a plain function as something that runs, its code taken from a snapshot: ``f(name, config)``, or ``f(ctx)``."""

from __future__ import annotations

import copy
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flambe.build.registrable import Registrable
from flambe.errors import ConfigError, MissingFieldError, RunFailed, did_you_mean
from flambe.runnable.secrets import hide_within
from flambe.spec.codec import escape, unescape

if TYPE_CHECKING:
    from flambe.runnable.context import Context
    from flambe.runnable.launch import Task

_held: dict[str, Task] = {}


def hold(main: str, task: Task | None) -> None:
    """Let functions called ``main`` be ``task`` in this process, whose loaded code is that of their snapshot; None ends it."""
    if task is None:
        _held.pop(main, None)
    else:
        _held[main] = task


class Function(Registrable):
    """A function of the user's, called once: with its name and its config, or with a context (``flambe.runnable.Context``).

    main: ``package.module:function``. name: of the experiment. config: plain data, a copy of which the function gets and may change.
    code: the folder that holds the package. snapshot: ``copy``, ``git``, ``custom`` or ``none``; how ``code`` came to be, for who
    makes a run directory. elsewhere: where it is on a machine that has no ``code``: a cluster's, to which it was sent.
    settings: what else ``__run__`` says, in node form, by names without underscores; see docs/spec.md.

    Attributes
    ----------
    result: what the function returned, in node form, when it is plain data; else None. returned: the same as it was.
    home: the folder of the run or variant, where its context writes; set by who runs it. None: nothing is recorded.
    """

    def __init__(
        self,
        main: str,
        name: str,
        config: Mapping[str, Any] | None = None,
        code: str = ".",
        snapshot: str = "copy",
        elsewhere: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.main = main
        self.name = name
        self.config = dict(config or {})
        self.code = code if elsewhere is None or Path(code).is_dir() else elsewhere
        self.snapshot = snapshot
        self.settings: dict[str, Any] = unescape(dict(settings or {}))
        self.home: Path | None = None
        self.result: Any = None
        self.returned: Any = None
        self._seeding: Callable[[Any], Any] | None = None
        self._takes_context = False

    def run(self) -> None:
        """Import the function and call it. ``sys.exit(0)`` in it is an end like any other.

        Raises ConfigError when it is not there, or takes other arguments; RunFailed when its module is loaded from elsewhere;
        MissingFieldError when a seeding function has no seed to be given.
        """
        function = self.load()
        arguments: tuple[Any, ...] = (self.name, copy.deepcopy(self.config))
        context = None
        if self._takes_context:
            context = self._context()
            arguments = (context,)
        self._seed()
        try:
            self.returned = function(*arguments)
        except SystemExit as end:
            if end.code not in (None, 0):
                raise
        finally:
            close = getattr(context and context.logger, "close", None)
            if callable(close):
                close()
        try:
            self.result = hide_within(escape(self.returned))
        except TypeError:
            print(
                f"{self.main} returned a {type(self.returned).__qualname__}, which is no plain data and is not kept",
                file=sys.stderr,
            )

    def _context(self) -> Context:
        from flambe.runnable.context import make_context
        from flambe.runnable.environment import CWD_VARIABLES

        # Its logger knows the folder of the run, so relative paths can be those of whoever gave the command.
        folder = os.environ.get(CWD_VARIABLES[0])
        if folder and os.path.isdir(folder):
            os.chdir(folder)
        return make_context(self)

    def _seed(self) -> None:
        named = self.settings.get("seeding", "auto")
        seeding = self._seeding if named == "auto" else None if named is None else self._found(str(named))
        if seeding is None:
            return
        if "seed" not in self.config:
            raise MissingFieldError(
                f"the config has no seed for {getattr(seeding, '__name__', 'the seeding function')}",
                hint="Add one, if only 'seed: null'.",
            )
        seeding(copy.deepcopy(self.config["seed"]))

    def metric(self) -> float | None:
        """Return what the function returned, if that is a number: what variants are compared by, higher is better."""
        if isinstance(self.result, bool) or not isinstance(self.result, int | float):
            return None
        return float(self.result)

    def load(self) -> Callable[..., Any]:
        """Import the function, with ``code`` first on the import path. Raises as ``run``."""
        function = _held.get(self.main) or self._found(self.main)
        task = getattr(function, "__flambe_task__", None)
        if task is not None:
            self._takes_context, self._seeding = True, task.seeding_function
            inner: Callable[..., Any] = task.function
            return inner
        self._takes_context = _takes_context(self.main, function)
        return function

    def _found(self, target: str) -> Callable[..., Any]:
        """Import ``package.module:function`` from ``code``, or from what is installed when it is not there."""
        module_name, _, name = target.partition(":")
        folder = str(Path(self.code).resolve())
        if sys.path[:1] != [folder]:
            sys.path.insert(0, folder)
            importlib.invalidate_caches()
        top = module_name.partition(".")[0]
        loaded = sys.modules.get(top)
        if loaded is not None and target == self.main and not _lives_in(loaded, folder):
            raise RunFailed(
                f"the module {top} is loaded already, from {getattr(loaded, '__file__', None) or 'elsewhere'}, not from {folder}",
                hint="Run it in a new process, or rename the module when an installed one is called so.",
            )
        module = importlib.import_module(module_name)
        function = getattr(module, name, None)
        if not callable(function):
            known = [known for known, value in vars(module).items() if callable(value) and not known.startswith("_")]
            raise ConfigError(
                f"{target}: the module {module_name} has no function {name}", hint=did_you_mean(name, known)
            )
        found: Callable[..., Any] = function
        return found


def _takes_context(main: str, function: Callable[..., Any]) -> bool:
    """Whether a function is called with one argument, the context. Raises ConfigError when it takes neither one nor two."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return False  # written in C: it says itself what it does not take
    if _binds(signature, "", {}):
        return False
    if _binds(signature, None):
        return True
    name = main.rpartition(":")[2]
    raise ConfigError(
        f"{main}{signature} can be called neither with a name and a config nor with a context",
        expected=f"def {name}(name: str, config: dict), or def {name}(ctx: flambe.Context)",
    )


def _binds(signature: inspect.Signature, *arguments: Any) -> bool:
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def _lives_in(module: Any, folder: str) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(place and Path(place).resolve().is_relative_to(folder) for place in places)


__all__ = ["Function", "hold"]
