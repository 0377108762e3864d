"""``Unit``: one variant of one stage, as plain data that any process on any machine can run."""

from __future__ import annotations

from typing import Any

import msgspec

from flambe.errors import Position
from flambe.record.layout import OUTPUTS
from flambe.spec.nodes import FUNCTION, NEW, SCRIPT, LinkTarget, Path
from flambe.spec.origins import link_name, position_in, read_position

PROGRAMS = frozenset({FUNCTION, SCRIPT})


class Unit(msgspec.Struct, kw_only=True):
    """One variant of one stage.

    body: concrete node. params: full dotted path → value, own and inherited. key: name of the result.
    explored: values of those of ``params`` that a population has chosen anew, own and inherited.
    needs: linked stage → folder of its committed result. exports: ``$link`` nodes of later stages into this one.
    resources: ``{"cpus": 1, "gpus": 0}``; cpus is also the number of threads. extensions: module → source.
    code: module → digest of the local code that the key covers; a process that has other code refuses the unit.
    files: path → digest of the files and folders that the body names, as the key has them.
    cwd: where relative paths of the user begin. environment: fields of ``flambe.get_env()`` in it.
    folder: the working folder of its code; empty: ``cwd``. Where it does not exist it is ``artifacts`` in its own scratch folder.
    log: a file beside it that gets what it prints while it prints it, and so does the console; empty: neither.
    streams: of a unit with a log: ``tee``, ``file`` (the console gets nothing) or ``none`` (the file gets nothing).
    shown: whether the console gets what it prints though it has no log: it runs alone.
    seeded: whether random numbers begin at ``seed``.
    reuse: whether an earlier result of this key does as well. tag_prefix: of its tags in event files.
    origins: where what is in the body was written, by pointer below it; export_origins: the links of ``exports``, by name (see
    ``flambe.spec.origins``). Both are for messages: no key and no digest covers them.
    """

    stage: str
    variant: str
    body: Any
    params: dict[str, Any] = {}
    explored: dict[str, Any] = {}
    key: str
    seed: int
    needs: dict[str, str] = {}
    exports: list[Any] = []
    resources: dict[str, float] = {}
    extensions: dict[str, str] = {}
    code: dict[str, str] = {}
    files: dict[str, str] = {}
    cwd: str = ""
    folder: str = ""
    log: str = ""
    streams: str = "tee"
    shown: bool = False
    seeded: bool = True
    environment: dict[str, Any] = {}
    reuse: bool = True
    tag_prefix: str = ""
    origins: dict[str, str] = {}
    export_origins: dict[str, str] = {}

    @property
    def id(self) -> str:
        return f"{self.stage}/{self.variant}"

    @property
    def made_with(self) -> dict[str, Any]:
        """The parameters that its result is made with: its name has those that it began with."""
        return {**self.params, **self.explored} if self.explored else self.params

    @property
    def is_program(self) -> bool:
        """Whether it is code that knows nothing of flambe: no library is loaded for it that it does not load itself."""
        return isinstance(self.body, dict) and self.body.get(NEW) in PROGRAMS

    @property
    def is_function(self) -> bool:
        """Whether it is a plain function, which gets a process of its own."""
        return isinstance(self.body, dict) and self.body.get(NEW) == FUNCTION

    @property
    def threads(self) -> int:
        return max(1, int(self.resources.get("cpus", 1)))

    def where(self, path: Path) -> Position | None:
        """Return where the value at a config path (the stage first) was written, or what it is a part of."""
        return position_in(self.origins, path[1:])

    def where_exported(self, target: LinkTarget) -> Position | None:
        """Return where a later stage links to ``target``."""
        text = self.export_origins.get(link_name(target))
        return None if text is None else read_position(text)


class StepReport(msgspec.Struct, kw_only=True):
    """What one call of ``run()`` gave.

    step: calls so far. more: whether another is wanted. metric: its value, if any, with its name and direction.
    streams: bytes written since the last report, by file name in the unit's folder. inputs: files read so far.
    result: what a function returned, in node form.
    """

    step: int
    more: bool
    metric: float | None = None
    metric_name: str | None = None
    lower_is_better: bool = False
    seconds: float = 0.0
    streams: dict[str, bytes] = {}
    inputs: list[dict[str, Any]] = []
    result: Any = None

    @property
    def warnings(self) -> list[str]:
        """What the unit printed as a line that begins with ``warning:``: people see that, and not only its ``outputs.log``."""
        printed = self.streams.get(OUTPUTS, b"")
        if b"warning: " not in printed:
            return []
        return [line.decode(errors="replace") for line in printed.splitlines() if line.startswith(b"warning: ")]
