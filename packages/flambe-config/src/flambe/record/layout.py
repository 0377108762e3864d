"""Every file name of a run directory, and nothing else. See docs/run-directory.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flambe.spec.nodes import FILE, LINK, NEW, link_target

VERSION = "1.1"
"""The newest version of ``run.json`` that this program reads. A record that needs less says so: ``record.run.needed_version``."""
COMPONENT_VERSION = "1.0"
"""The version of the manifest of a saved component that this program reads and writes."""

RUN = "run.json"
SPEC = "spec.json"
LEDGER = "ledger.jsonl"
OUTPUTS = "outputs.log"
EXPORTS = "exports.json"
EXPORT_TENSORS = "exports.safetensors"
METRICS = "metrics"
ARTIFACTS = "artifacts"
ARTIFACT_INDEX = "artifacts.jsonl"
TENSORBOARD = "tensorboard"
STEPS = "steps"
CHECKPOINT = "checkpoint"
STAGES = "stages"
BEST = "best"
RAW_CONFIG = "raw_config.yml"
CONFIG = "config.yml"
REQUIREMENTS = "frozen_requirements.txt"
SCRATCH = ".scratch"
CODE_DIFF = "code.diff"
DECLARED = "requirements.txt"
TREES = ".code"
"""Folder of the code that runs share, in the output folder."""
TREE_LIST = ".files"
"""After the name of a tree of it: git's index, which has its files and their digests."""
FINISHED = ".finished"
"""Beside the runs of a name: what readers want to know of those that have ended."""
DEBUG = "DEBUG"
"""Folder of the runs of functions that copy no code, between the output folder and the name."""

RESERVED = frozenset({RUN, SPEC, LEDGER, OUTPUTS, RAW_CONFIG, CONFIG, REQUIREMENTS, STAGES, CODE_DIFF, DECLARED})
"""Names of a run directory that no package in it can have."""

MANIFEST = "manifest.json"
STATE_TENSORS = "state.safetensors"
STATE_JSON = "state.json"
EXPLORED = "explored.json"
"""Beside the state of a step that is another variant's: how many steps its taker has made, and what it changes."""
CONFIG_YAML = "config.yaml"
VERSION_TXT = "version.txt"
SOURCE_PY = "source.py"

_LONGEST = 100
"""Bytes of a variant's name. File systems take 255 for one name; what is beside it and ends like it needs some of them."""
_UNSAFE = re.compile(r"[^\w.,+\-\[\]]+")


class RunPaths(NamedTuple):
    """The paths of one run directory."""

    root: Path

    @property
    def record(self) -> Path:
        return self.root / RUN

    @property
    def spec(self) -> Path:
        return self.root / SPEC

    @property
    def ledger(self) -> Path:
        return self.root / LEDGER

    @property
    def outputs(self) -> Path:
        return self.root / OUTPUTS

    @property
    def scratch(self) -> Path:
        return self.root / SCRATCH

    def numbered(self, name: str, number: int) -> Path:
        """Return the path of ``config.yml`` for 0, of ``config.1.yml`` for 1: of later commands that changed something."""
        stem, dot, suffix = name.rpartition(".")
        return self.root / (f"{stem}.{number}{dot}{suffix}" if number else name)

    def newest(self, name: str) -> Path:
        """Return the path of ``spec.2.json`` where the second ``--resume`` came with another config, and no later one did."""
        stem, _, suffix = name.rpartition(".")
        numbers = [path.name[len(stem) + 1 : -len(suffix) - 1] for path in self.root.glob(f"{stem}.*.{suffix}")]
        return self.numbered(name, max((int(number) for number in numbers if number.isdecimal()), default=0))

    def unit(self, stage: str, variant: str) -> UnitPaths:
        return UnitPaths(self.root / STAGES / stage / variant)

    def folder(self, unit: str) -> UnitPaths:
        """Return the paths of a unit by its id, ``stage/variant``."""
        stage, _, variant = unit.partition("/")
        return self.unit(stage, variant)

    def best(self, stage: str) -> Path:
        return self.root / STAGES / stage / BEST


class UnitPaths(NamedTuple):
    """The paths of one variant of one stage (a *unit*)."""

    root: Path

    @property
    def record(self) -> Path:
        return self.root / RUN

    @property
    def exports(self) -> Path:
        return self.root / EXPORTS

    @property
    def export_tensors(self) -> Path:
        return self.root / EXPORT_TENSORS

    @property
    def outputs(self) -> Path:
        return self.root / OUTPUTS

    @property
    def metrics(self) -> Path:
        return self.root / METRICS

    @property
    def checkpoint(self) -> Path:
        return self.root / CHECKPOINT

    @property
    def steps(self) -> Path:
        return self.root / STEPS

    def step(self, number: int) -> Path:
        return self.root / STEPS / str(number)


def label(value: Any) -> str:
    """Return how a searched value is written in names: ``0.001``, ``true``, ``TextField``, ``[10,10]``."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ",".join(label(item) for item in value) + "]"
    if isinstance(value, dict):
        if NEW in value:
            rest = {key: item for key, item in value.items() if key != NEW}
            name = str(value[NEW]).rpartition(":")[2]
            return name if not rest else f"{name}-{_short_hash(repr(rest))}"
        if LINK in value:
            return str(link_target(value))
        return _short_hash(repr(value))
    return str(value)


def shown_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as rows have them: what is an object or a link by its label, a file by its name."""
    return {path: _shown(value) if isinstance(value, dict) else value for path, value in params.items()}


def _shown(value: dict[str, Any]) -> str:
    return str(value[FILE]).rpartition("/")[2] if FILE in value else label(value)


def variant_name(params: Mapping[str, Any]) -> str:
    """Return the folder name of a variant: ``n_layers=2,lr=0.1``; ``0`` without parameters.

    params: full dotted path (``model.encoder.n_layers``) → value, own and inherited. A name is the last part of
    its path, or more of it where two parameters would share it. Long names end in a hash. Names are for people:
    nothing ever parses one.
    """
    if not params:
        return "0"
    short = _shortest_names(list(params))
    parts = [f"{_UNSAFE.sub('_', short[path])}={_UNSAFE.sub('_', label(value))}" for path, value in params.items()]
    name = ",".join(parts)
    name = f"_{name[1:]}" if name.startswith(".") else name
    if len(name.encode()) > _LONGEST:
        cut = name.encode()[: _LONGEST - 9].decode(errors="ignore")
        name = f"{cut}~{_short_hash(repr(sorted(map(str, params.items()))))}"
    return name


def became(takeovers: Sequence[Mapping[str, Any]], explored: Mapping[str, Any]) -> str:
    """Return what a variant is since a population has changed it or what it rests on, for its name says what that began as:
    ``now lr=0.03, from step 4 of lr=0.05``. takeovers: as in its record. explored: the parameters that have changed.
    """
    if not takeovers:
        return f"now {variant_name(shown_params(explored))}" if explored else ""
    last = takeovers[-1]
    donor = str(last["donor"]).partition("/")[2]
    return f"now {variant_name(shown_params(last['choice']))}, from step {last['donor_step']} of {donor}"


def _shortest_names(paths: list[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for path in paths:
        parts = path.split(".")
        for size in range(1, len(parts) + 1):
            name = ".".join(parts[-size:])
            if sum(f".{other}".endswith(f".{name}") for other in paths) == 1:
                break
        names[path] = name
    return names


def _short_hash(text: str) -> str:
    import hashlib  # takes longer to import than most of what needs a name

    return hashlib.sha256(text.encode()).hexdigest()[:8]
