"""``Reproduction``: a finished run, given again with the code, the data and the settings that it had."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from flambe.cli.console import QUIET, level
from flambe.errors import ConfigError, ProvenanceError, RunFailed
from flambe.record.code import module_digest
from flambe.record.code_copy import COPY, GIT, edited_files, folder_to_run, listed
from flambe.record.inputs import input_is_unchanged
from flambe.record.layout import DEBUG, MANIFEST, REQUIREMENTS, RunPaths
from flambe.record.ledger import read_events
from flambe.record.provenance import installed_requirements
from flambe.record.run import COMPLETE, FAILED, RunRecord, StageRecord, read_record, write_record
from flambe.spec.codec import dump_spec, load_spec
from flambe.spec.nodes import FILE, Spec, is_concrete

_DIGEST = "sha256:"


class Changed(NamedTuple):
    """A distribution of another version than the run had. None: there was none, or there is none."""

    name: str
    recorded: str | None
    here: str | None

    def __str__(self) -> str:
        return f"{self.name} {self.recorded or 'was not there'}, here {self.here or 'it is not installed'}"


class Reproduction:
    """What is needed to run a finished run again.

    root: its directory. extensions: module → where its code lies now; default: where it lay. Raises ConfigError for what is no
    finished run.
    """

    def __init__(self, root: Path, extensions: Mapping[str, str] | None = None) -> None:
        self.paths = RunPaths(Path(os.path.abspath(root)))
        if not self.paths.record.is_file() or not self.paths.spec.is_file():
            raise ConfigError(f"{root} is no run directory", expected="a folder such as flambe-output/NAME/exp.1")
        self.record = read_record(self.paths.record, RunRecord)
        if self.record.status not in (COMPLETE, FAILED):
            raise ConfigError(
                f"{root} has not ended: its status is {self.record.status}",
                hint="Give its command again, which goes on with it, and reproduce it then.",
            )
        self.spec = load_spec(self.paths.spec.read_bytes(), where=str(self.paths.spec))
        self._units = [read_record(path, StageRecord) for path in sorted(self.paths.root.glob("stages/*/*/run.json"))]
        named = self.spec.environment.extensions
        unknown = sorted((extensions or {}).keys() - named.keys())
        if unknown:
            raise ConfigError(
                f"the run has no extension {unknown[0]!r}", expected=", ".join(sorted(named)) or "none: it needs none"
            )
        named.update({module: os.path.abspath(path) for module, path in (extensions or {}).items()})

    def faults(self) -> list[str]:
        """Return what of the code and the data is not what the run had, by name."""
        return [*self._extension_faults(), *self.copy_faults(), *self._data_faults()]

    def check(self) -> None:
        """Raise ProvenanceError if anything of that is so."""
        faults = self.faults()
        if faults:
            raise ProvenanceError(
                f"{self.paths.root} cannot be reproduced: {'; '.join(faults)}",
                hint="Bring back what it had (--extension MODULE=PATH says where code lies now), or run it as it is here: --as-is.",
            )

    def _extension_faults(self) -> list[str]:
        found = []
        for module, source in self.spec.environment.extensions.items():
            recorded = self._recorded_digests(module)
            here = module_digest(module, source)
            if recorded and here is None:
                found.append(f"the code of the extension {module} is not at {source}")
            elif recorded and here not in recorded:
                digest = sorted(recorded)[0]
                found.append(f"the code of the extension {module} at {source} is {here}, and {digest} ran")
        return found

    def copy_faults(self) -> list[str]:
        """Return what of the copied code of a function is not what ran, by name."""
        code = self.record.code
        if code is None or code.mode not in (COPY, GIT):
            return []
        copy = "copy" if code.mode == COPY else "shared tree"
        if code.path and not (self.paths.root / code.path).exists():
            return [f"the {copy} of its code, {code.path}, is gone"]
        edited = edited_files(self.paths.root, self.record)
        return [f"the {copy} of its code is not what ran: {listed(edited)}"] if edited else []

    def _recorded_digests(self, module: str) -> set[str]:
        """Return the digests of an extension in the results; those of one run have one."""
        found = set()
        for path in self.paths.root.glob(f"stages/*/*/checkpoint/{MANIFEST}"):
            source = msgspec.json.decode(path.read_bytes()).get("extensions", {}).get(module, "")
            if source.startswith(_DIGEST):
                found.add(source.removeprefix(_DIGEST))
        return found

    def _data_faults(self) -> list[str]:
        inputs = {described["path"]: described for unit in self._units for described in unit.inputs}
        changed = [path for path, described in sorted(inputs.items()) if not input_is_unchanged(described)]
        gone = [path for path in changed if not os.path.exists(path)]
        return (
            [f"files that it read are gone or have changed: {listed(changed)}"]
            if changed and gone
            else [f"files that it read have changed: {listed(changed)}"]
            if changed
            else []
        )

    def environment(self) -> list[Changed]:
        """Return what is installed in another version than the run had, Python too. It is told, and stops nothing."""
        path = self.paths.root / REQUIREMENTS
        recorded = _versions(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else {}
        here = _versions(installed_requirements()) if recorded else {}
        found = [
            Changed(name, recorded.get(name), here.get(name))
            for name in sorted(recorded.keys() | here.keys())
            if recorded.get(name) != here.get(name)
        ]
        from flambe.record.provenance import this_python

        was, now = self.record.python.get("version"), this_python()["version"]
        return [*([Changed("Python", was, now)] if was and was != now else []), *found]

    def configs(self) -> int:
        """Return how many configs it had: several after ``--resume RUN --allow-change``, and the first is what runs anew."""
        return len({event.get("spec") for event in read_events(self.paths.ledger) if event["event"] == "open"})

    def run(self, output_dir: str | Path | None = None) -> Path:
        """Run it anew, in the next folder beside it, with nothing reused, and return that folder, whose record says what it is.

        It runs as it ran: by the same tool, where its command was given. Raises RunFailed when that did not come to its end.
        """
        from flambe.cli.tool import find_tool

        spec = self.spec_to_run()
        name = self._tool()
        words = [find_tool(name), *(["exec"] if name == "exec" else []), "-", "--force"]
        words += ["--output-dir", str(Path(output_dir).absolute() if output_dir is not None else self._output_dir())]
        words += self._device(name) + (["--quiet"] if level() == QUIET else [])
        cwd = self.record.command.cwd
        done = subprocess.run(
            words,
            input=dump_spec(spec) + b"\n",
            stdout=subprocess.PIPE,
            cwd=cwd if cwd and os.path.isdir(cwd) else None,
            check=False,
        )
        rows = done.stdout.splitlines()
        last: dict[str, Any] = json.loads(rows[-1]) if rows else {}
        if done.returncode not in (0, 1) or "run" not in last or "stage" in last:
            raise RunFailed(f"the run that was to be compared has ended with exit code {done.returncode}")
        here = RunPaths(Path(last["run"]))
        record = read_record(here.record, RunRecord)
        record.reproduces = self.record.id
        write_record(here.record, record, durable=True)
        return here.root

    def spec_to_run(self) -> Spec:
        """Return its spec; that of a function with the copy of its code."""
        spec = self.spec
        if spec.kind == "function" and self.record.code is not None:
            folder = folder_to_run(self.paths.root, self.record.code)
            if folder is not None:
                spec.stages[0].body["code"] = {FILE: str(folder)}
        return spec

    def _tool(self) -> str:
        """Return which tool ran it, by the name that ``flambe NAME`` has for it."""
        if not is_concrete(self.spec):
            return "tune"
        name = self.record.tool.get("name", "").removeprefix("flambe-")
        return name if name in ("train", "tune") else "exec"

    def _device(self, name: str) -> list[str]:
        argv = self.record.command.argv
        if name != "train" or "--device" not in argv[:-1]:
            return []
        at = argv.index("--device")
        return argv[at : at + 2]

    def _output_dir(self) -> Path:
        root = self.paths.root.parents[self.spec.name.count("/") + 1]
        return root.parent if self.spec.kind == "function" and self.spec.debug and root.name == DEBUG else root


def _versions(lines: Any) -> dict[str, str]:
    found = (line.partition("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name.strip().lower().replace("_", "-"): version.strip() for name, _, version in found}


__all__ = ["Changed", "Reproduction"]
