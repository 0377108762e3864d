"""The toy room: components with known signatures, whose source must only ever be read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import flambe
from flambe.compile import compile_text, tags
from flambe.errors import ConfigFaults
from flambe.spec.nodes import Spec


class Kit:
    """What the tests of the compiler share."""

    here = Path(__file__).parent
    toys = here / "toys"

    def pipeline(self, stages: str, rest: str = "", **more: Any) -> Spec:
        """Compile an experiment from the text of its stages, which begin in line 4, column 3."""
        inner = "\n".join("  " + line for line in stages.splitlines())
        return compile_text(f"!Experiment\nname: t\npipeline:\n{inner}\n{rest}", name="t", **more)

    def body(self, text: str, **more: Any) -> Any:
        """Compile the only stage ``a`` from its YAML and return its body."""
        return self.pipeline(f"a: {text}", **more).stages[0].body

    def faults(self, function: Callable[[], Any]) -> list[str]:
        """Return the faults that a call raises, as ``line:column: text``."""
        with pytest.raises(ConfigFaults) as caught:
            function()
        return [str(fault).removeprefix("<t>:") for fault in caught.value.faults]

    def command(
        self, module: str, *words: str, cwd: Path | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of ours in a process of its own, where the toy room is installed."""
        return self.python("sys.exit(import_module(sys.argv.pop(1)).main())", module, *words, cwd=cwd, stdin=stdin)

    def python(
        self, program: str, *words: str, cwd: Path | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a process that sees the floor and the toy room, whatever else is installed."""
        start = (
            "import os, sys, flambe\nfrom importlib import import_module\n"
            f"flambe.__path__ = [os.path.dirname(flambe.__file__), {str(self.toys / 'flambe')!r}]\n"
        )
        return subprocess.run(
            [sys.executable, "-c", start + program, *words],
            cwd=cwd or self.here, input=stdin, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit()


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let there be the floor and the toy room only, and keep the signature cache out of the user's own folder."""
    monkeypatch.setattr(flambe, "__path__", [os.path.dirname(flambe.__file__), str(Kit.toys / "flambe")])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    tags.short_names.cache_clear()
    tags._tags_of_targets.cache_clear()
    yield
    tags.short_names.cache_clear()
    tags._tags_of_targets.cache_clear()
