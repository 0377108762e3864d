"""``Function``: a plain function ``f(name, config)`` as something that runs, its code taken from a snapshot."""

from __future__ import annotations

import copy
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flambe.build.registrable import Registrable
from flambe.errors import ConfigError, RunFailed, did_you_mean
from flambe.spec.codec import escape


class Function(Registrable):
    """A function of the user's, called once with its name and its config.

    main: ``package.module:function``. name: of the experiment. config: plain data, a copy of which the function gets and may change.
    code: the folder that holds the package. snapshot: ``copy`` or ``none``; how ``code`` came to be, for who makes a run directory.
    elsewhere: where it is on a machine that has no ``code``: a cluster's, to which it was sent.

    Attributes
    ----------
    result: what the function returned, in node form, when it is plain data; else None.
    """

    def __init__(
        self,
        main: str,
        name: str,
        config: Mapping[str, Any] | None = None,
        code: str = ".",
        snapshot: str = "copy",
        elsewhere: str | None = None,
    ) -> None:
        self.main = main
        self.name = name
        self.config = dict(config or {})
        self.code = code if elsewhere is None or Path(code).is_dir() else elsewhere
        self.snapshot = snapshot
        self.result: Any = None

    def run(self) -> None:
        """Import the function and call it. ``sys.exit(0)`` in it is an end like any other.

        Raises ConfigError when it is not there, or takes other arguments; RunFailed when its module is loaded from elsewhere.
        """
        function = self.load()
        try:
            returned = function(self.name, copy.deepcopy(self.config))
        except SystemExit as end:
            if end.code not in (None, 0):
                raise
            returned = None
        try:
            self.result = escape(returned)
        except TypeError:
            print(
                f"{self.main} returned a {type(returned).__qualname__}, which is no plain data and is not kept",
                file=sys.stderr,
            )

    def metric(self) -> float | None:
        """Return what the function returned, if that is a number: what variants are compared by, higher is better."""
        if isinstance(self.result, bool) or not isinstance(self.result, int | float):
            return None
        return float(self.result)

    def load(self) -> Callable[[str, dict[str, Any]], Any]:
        """Import the function, with ``code`` first on the import path. Raises as ``run``."""
        module_name, _, name = self.main.partition(":")
        folder = str(Path(self.code).resolve())
        if sys.path[:1] != [folder]:
            sys.path.insert(0, folder)
            importlib.invalidate_caches()
        top = module_name.partition(".")[0]
        loaded = sys.modules.get(top)
        if loaded is not None and not _lives_in(loaded, folder):
            raise RunFailed(
                f"the module {top} is loaded already, from {getattr(loaded, '__file__', None) or 'elsewhere'}, not from {folder}",
                hint="Run it in a new process, or rename the module when an installed one is called so.",
            )
        module = importlib.import_module(module_name)
        function = getattr(module, name, None)
        if not callable(function):
            known = [known for known, value in vars(module).items() if callable(value) and not known.startswith("_")]
            raise ConfigError(
                f"{self.main}: the module {module_name} has no function {name}", hint=did_you_mean(name, known)
            )
        _check_parameters(self.main, function)
        found: Callable[[str, dict[str, Any]], Any] = function
        return found


def _check_parameters(main: str, function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # written in C: it says itself what it does not take
    try:
        signature.bind("", {})
    except TypeError as error:
        one = "; a function of one parameter, the context, is not supported" if _binds_one(signature) else ""
        raise ConfigError(
            f"{main}{signature} cannot be called with a name and a config{one} ({error})",
            expected=f"def {main.rpartition(':')[2]}(name: str, config: dict)",
        ) from None


def _binds_one(signature: inspect.Signature) -> bool:
    try:
        signature.bind("")
    except TypeError:
        return False
    return True


def _lives_in(module: Any, folder: str) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(place and Path(place).resolve().is_relative_to(folder) for place in places)


__all__ = ["Function"]
