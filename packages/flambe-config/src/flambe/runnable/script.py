"""``Script``: an unchanged program as something that runs, in a process of its own with its own arguments."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from flambe.build.component import Component
from flambe.build.trust import resolve
from flambe.errors import ConfigError, RunFailed
from flambe.logging.log import METRICS_VARIABLE, current_buffer
from flambe.record.code import local_places
from flambe.record.metrics import metric_value
from flambe.runnable.environment import get_env
from flambe.runner.environment import active, note_input

SEED_VARIABLE = "FLAMBE_SEED"
_GRACE_S = 10.0
_SHOWN_LINES = 3
# The child asks to be ended with this process, then becomes the program: it is found by nobody else when we are killed.
_GUARD = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
if os.getppid() != int(sys.argv[1]):
    sys.exit(143)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Script(Component):
    """Runs ``python -m script ARGUMENTS``, or ``python script.py ARGUMENTS`` for a file, and waits for its end.

    Parameters
    ----------
    script: a module that can be run (of an extension, say), or the path of a Python file: text begins at the working folder,
        ``!file`` at the YAML file.
    args: positional arguments as a list; or a mapping, which stands for ``kwargs``.
    kwargs: name → value, given as ``--name value``. None and True give ``--name`` alone, False nothing, a list several words;
        a name that begins with ``-`` stays as it is.
    output_dir_arg: name of an argument that gets the folder for what the program writes.
    seed_arg: name of an argument that gets the program's seed: a whole number below 2**32 that follows from the run's seed.
    max_steps: how often the program is run, a step each; once by default.
    metric_fn: called with that folder after each run; returns what variants are compared by. A function, or ``module:function``.
    pos_args, keyword_args: other names of ``args`` and ``kwargs``.
    lower_is_better: direction of the metric.

    The program finds the folder as ``flambe.get_env().output_path`` too, its seed in the variable ``FLAMBE_SEED``, and
    ``flambe.log`` in it logs to the unit.
    """

    def __init__(
        self,
        script: str,
        args: Sequence[Any] | Mapping[str, Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        output_dir_arg: str | None = None,
        max_steps: int | None = None,
        metric_fn: Callable[[str], float] | str | None = None,
        pos_args: Sequence[Any] | None = None,
        keyword_args: Mapping[str, Any] | None = None,
        lower_is_better: bool = False,
        seed_arg: str | None = None,
    ) -> None:
        super().__init__()
        self.script = script
        positional, named = _split(args, pos_args), _one("kwargs", kwargs, "keyword_args", keyword_args)
        if isinstance(positional, Mapping):
            if named is not None:
                raise ConfigError("a Script got a mapping as args and kwargs too", hint="Write all in kwargs.")
            positional, named = (), positional
        self.words = [*map(_positional, positional or ()), *_options(named or {})]
        self.output_dir_arg = output_dir_arg
        self.seed_arg = seed_arg
        self.max_steps = 1 if max_steps is None else max_steps
        self.metric_fn = metric_fn
        self.lower_is_better = lower_is_better
        self.steps_done = 0
        self._metric: float | None = None
        self.register_attrs("steps_done", "_metric")

    def run(self) -> bool:
        """Run the program once. True while it is to be run again. What reads its metric is found before it begins.

        Raises RunFailed with the last lines of its stderr when it ends with another exit code than 0, ConfigError when there is no
        such program.
        """
        output = Path(get_env().output_path).absolute()
        output.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *self._program(), *self.words]
        if self.output_dir_arg is not None:
            command += _options({self.output_dir_arg: str(output)})
        seed = _seed()
        if self.seed_arg is not None:
            command += _options({self.seed_arg: seed})
        score = None if self.metric_fn is None else self._metric_function()
        self._note_inputs()
        with _metrics() as metrics:
            _run(command, self.script, {**_surroundings(), SEED_VARIABLE: seed, **metrics})
        if score is not None:
            self._metric = metric_value(score(str(output)), "metric_fn")
        self.steps_done += 1
        return self.steps_done < self.max_steps

    def metric(self) -> float | None:
        """Return what ``metric_fn`` said after the last run."""
        return self._metric

    @property
    def _is_file(self) -> bool:
        return self.script.endswith(".py") or "/" in self.script

    def _program(self) -> list[str]:
        if self._is_file:
            path = Path(self.script).expanduser()
            if not path.is_file():
                raise ConfigError(
                    f"there is no program {self.script} in {Path.cwd()}", hint="Paths begin where the command runs."
                )
            return [str(path)]
        if _home_of(self.script) is None:
            top = self.script.partition(".")[0]
            raise ConfigError(
                f"there is no module {top} to run {self.script} from",
                expected="an installed module, one of an extension, or the path of a Python file",
                hint=f"Name its folder in the header of the file: `{top}: path/to/folder`.",
            )
        return ["-m", self.script]

    def _metric_function(self) -> Callable[[str], float]:
        if callable(self.metric_fn):
            return self.metric_fn
        text = str(self.metric_fn)
        found: Callable[[str], float] = resolve(text, [text.partition(":")[0].partition(".")[0]])
        return found

    def _note_inputs(self) -> None:
        """Name the files that the result rests on as far as we know them: the program's own code, and arguments that are files."""
        home = Path(self.script).expanduser() if self._is_file else _home_of(self.script)
        if home is not None and not {"site-packages", "dist-packages"} & set(home.absolute().parts):
            for place in local_places(home.stem if home.is_file() else home.name, home.absolute()).values():
                for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
                    note_input(file)
        for word in self.words:
            if os.path.isfile(word):
                note_input(word)


def _home_of(module: str) -> Path | None:
    """Return the file or folder of a module's top-level package, as ``python -m`` would find it."""
    top = module.partition(".")[0]
    for here in (Path.cwd() / top, Path.cwd() / f"{top}.py"):
        if here.exists():
            return here
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if found is None:
        return None
    places = list(found.submodule_search_locations or ())
    return Path(places[0]) if places else Path(found.origin or top)


def _split(args: Any, pos_args: Any) -> Any:
    positional = _one("args", args, "pos_args", pos_args)
    if positional is not None and not isinstance(positional, Mapping | list | tuple):
        raise ConfigError(f"the args of a Script are {positional!r}", expected="a list or a mapping")
    return positional


def _one(name: str, value: Any, other: str, other_value: Any) -> Any:
    if value is not None and other_value is not None:
        raise ConfigError(f"a Script got {name} and {other}, which are two names of one thing", hint="Leave one out.")
    return other_value if value is None else value


def _positional(value: Any) -> str:
    if value is None or isinstance(value, bool):
        raise ConfigError(
            f"{value!r} is no positional argument", hint="Write flags with their name: kwargs: {verbose: true}."
        )
    return _word(value, "a positional argument")


def _options(named: Mapping[str, Any]) -> list[str]:
    words = []
    for name, value in named.items():
        option = str(name) if str(name).startswith("-") else f"--{name}"
        if value is False:
            continue
        words.append(option)
        if isinstance(value, list | tuple):
            words += [_word(item, f"a value of {option}") for item in value]
        elif value is not None and value is not True:
            words.append(_word(value, f"the value of {option}"))
    return words


def _word(value: Any, what: str) -> str:
    if callable(getattr(value, "item", None)) and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if not isinstance(value, str | int | float | os.PathLike):
        raise ConfigError(f"{what} is a {type(value).__qualname__}", expected="text, a number, or a list of these")
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def _seed() -> str:
    """Return the seed of the running unit as every generator takes it; alone it is the one around us, or that of a run without one."""
    running = active()
    return os.environ.get(SEED_VARIABLE, "0") if running is None else str(running.unit.seed % 2**32)


def _surroundings() -> dict[str, str]:
    """Return the environment of the program: ours, with the folders of the extensions in front of its import path."""
    folders = []
    for name in get_env().extensions:
        module = sys.modules.get(name.partition(".")[0])
        for place in (*getattr(module, "__path__", ()), getattr(module, "__file__", None)):
            if place is not None:
                folders.append(str(Path(place).absolute().parent))
                break
    earlier = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*dict.fromkeys(folders), *([earlier] if earlier else [])])
    # What it prints goes to a file: lines of both streams in their order, and while it runs.
    return {"PYTHONUNBUFFERED": "1", **os.environ, **({"PYTHONPATH": path} if path else {})}


@contextlib.contextmanager
def _metrics() -> Iterator[dict[str, str]]:
    """Give the variables of a program that logs to the running unit, and take what it has logged."""
    running, buffer = active(), current_buffer()
    if running is None or buffer is None:
        yield {}
        return
    file = running.folder.absolute() / "program.jsonl"
    try:
        yield {METRICS_VARIABLE: str(file)}
    finally:
        if file.exists():
            # A program that was killed may have left half a line.
            whole, _, _ = file.read_bytes().rpartition(b"\n")
            buffer.add_encoded(whole + b"\n" if whole else b"")
            file.unlink()


def _run(command: list[str], script: str, surroundings: dict[str, str]) -> None:
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), *command]
    child = subprocess.Popen(command, env=surroundings, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert child.stderr is not None
    last: deque[bytes] = deque(maxlen=_SHOWN_LINES)
    reader = threading.Thread(target=_pass_on, args=(child.stderr, last), name="stderr", daemon=True)
    reader.start()
    try:
        code = child.wait()
    except BaseException:
        child.terminate()
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        raise
    finally:
        # Something that the program has left running may hold the other end for ever.
        reader.join(1.0)
    if code:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        said = b" | ".join(last).decode(errors="replace")
        raise RunFailed(f"{script} {how}" + (f": {said}" if said else ""))


def _pass_on(stream: IO[bytes], last: deque[bytes]) -> None:
    for line in stream:
        os.write(2, line)
        if line.strip(b" \t\r\n^~"):
            last.append(line.strip())


__all__ = ["Script"]
