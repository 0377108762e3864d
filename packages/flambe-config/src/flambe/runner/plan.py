"""Units of a spec: from concrete stages to plain data with keys, seeds and folders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from flambe.errors import ConfigError
from flambe.record.code import local_code
from flambe.record.code_copy import folder_to_run
from flambe.record.declared import by_content, by_name, declared_files
from flambe.record.layout import ARTIFACTS, RunPaths, variant_name
from flambe.record.result import modules_of, stage_key, unit_seed
from flambe.record.run import RunRecord, read_record
from flambe.runner.unit import Unit
from flambe.spec.codec import unescape
from flambe.spec.nodes import FILE, SEED, Spec, Stage, is_concrete, link_node, links, stages_needed
from flambe.spec.origins import link_name, link_origins, origins_of


def make_unit(
    spec: Spec, stage: Stage, params: Mapping[str, Any], needs: Mapping[str, Unit], run_root: Path | str
) -> Unit:
    """Return the unit of a concrete stage.

    stage: its body holds no search. params: full dotted path → value of this variant; what the needed units
    inherited is added in front. needs: the unit of each stage that this one links to.
    """
    everything: dict[str, Any] = {}
    for need in needs.values():
        everything.update(need.params)
    everything.update(params)
    run_seed = spec.seed
    if SEED in everything:
        run_seed = everything[SEED] = everything.pop(SEED)  # comes last
    if stage.seedless:
        run_seed = 0
    # A function is never taken from an earlier run, and its code is copied: nothing asks for what is in the folder of it.
    files = {} if spec.kind == "function" else declared_files(stage.body)
    body = by_content(stage.body, files)
    resources = resources_of(spec, stage)
    keys = {name: unit.key for name, unit in needs.items()}
    exports = exports_of(spec, stage.name)
    paths = RunPaths(Path(run_root))
    unit = Unit(
        stage=stage.name,
        variant=variant_name(by_name(everything, declared_files(everything))),
        body=stage.body,
        params=everything,
        explored={path: value for need in needs.values() for path, value in need.explored.items()},
        key=stage_key(
            body,
            needs=keys,
            seed=run_seed,
            threads=max(1, int(resources.get("cpus", 1))),
            extensions=spec.environment.extensions,
        ),
        seed=unit_seed(run_seed, body, {name: str(unit.seed) for name, unit in needs.items()}),
        needs={name: str(paths.unit(unit.stage, unit.variant).root) for name, unit in needs.items()},
        exports=exports,
        resources=resources,
        extensions=dict(spec.environment.extensions),
        code=local_code(modules_of(stage.body), spec.environment.extensions),
        files=files,
        cwd=os.getcwd(),
        environment=environment_of(spec),
        reuse=stage.reuse,
        shown=spec.kind == "runnable" and is_concrete(spec),
        tag_prefix="" if spec.merge_plot else f"{stage.name}/",
        origins=origins_of(spec, stage.name, everything),
        export_origins=link_origins(spec, stage.name) if exports else {},
    )
    return _of_function(unit, spec, paths) if spec.kind == "function" else unit


def _of_function(unit: Unit, spec: Spec, paths: RunPaths) -> Unit:
    """Let a function run from the snapshot and in the run directory, with its own ``seed``.

    Each of several variants writes into a folder of its own instead, which is handed over with the result.
    """
    body = dict(unit.body)
    code = _code_to_run(spec, paths)
    if code is not None:
        body["code"], body["elsewhere"] = {FILE: str(code)}, body["code"]
    config, settings = body.get("config", {}), unescape(body.get("settings", {}))
    seed = config.get("seed")
    is_number = isinstance(seed, int) and not isinstance(seed, bool)
    alone = is_concrete(spec)
    # A context knows the folder of its run, so relative paths can be those of whoever gave the command.
    folder = "" if settings.get("context") else str(paths.root) if alone else ARTIFACTS
    return msgspec.structs.replace(
        unit,
        body=body,
        seed=seed if is_number and 0 <= seed < 2**63 else spec.seed,
        seeded=settings.get("seeding", "auto") == "auto" and not ("seed" in config and seed is None),
        folder=folder,
        log=str(paths.outputs) if alone else "",
        streams=settings.get("streams", "tee"),
    )


def _code_to_run(spec: Spec, paths: RunPaths) -> Path | None:
    """Return the folder of the copy of a function's code; None where it is run from its place, or nothing was made yet."""
    if spec.debug:
        return None
    if spec.stages[0].body.get("snapshot", "copy") == "copy":
        return paths.root
    try:
        code = read_record(paths.record, RunRecord).code
    except FileNotFoundError:
        return None
    return None if code is None else folder_to_run(paths.root, code)


def environment_of(spec: Spec) -> dict[str, Any]:
    """Return the fields of ``flambe.get_env()`` that a spec sets, beside its extensions."""
    files = spec.environment.files
    remote = {name: files[name] for name in spec.environment.remote if name in files}
    fields = {
        "local_files": {name: source for name, source in files.items() if name not in remote},
        "remote_files": remote,
        "debug": spec.debug,
        "extra": dict(spec.environment.extra),
    }
    return {name: value for name, value in fields.items() if value}


def exports_of(spec: Spec, name: str) -> list[Any]:
    """Return the ``$link`` nodes of other stages into the stage ``name``, each once, in file order."""
    found: dict[str, Any] = {}
    for stage in spec.stages:
        if stage.name != name:
            for _, target in links(stage.body):
                if target.stage == name:
                    plain = target._replace(copy=False)
                    found.setdefault(link_name(plain), link_node(plain))
    return list(found.values())


def check_order(spec: Spec) -> None:
    """Raise ConfigError for a stage that links to one that does not come before it."""
    known: set[str] = set()
    for stage in spec.stages:
        for need in stages_needed(stage):
            if need not in known:
                raise ConfigError(f"the stage {stage.name!r} links to {need!r}, which is no earlier stage")
        known.add(stage.name)


def concrete_units(spec: Spec, run_root: Path | str) -> list[Unit]:
    """Return the one unit of each stage of a concrete spec, in file order."""
    units: dict[str, Unit] = {}
    for stage in spec.stages:
        own = {f"{stage.name}.{path}": value for path, value in stage.params.items()}
        needs = {name: units[name] for name in stages_needed(stage)}
        units[stage.name] = make_unit(spec, stage, own, needs, run_root)
    return list(units.values())


def resources_of(spec: Spec, stage: Stage) -> dict[str, float]:
    """Return what each unit of a stage asks for: ``{"cpus": 1, "gpus": 0}``, as far as the spec says."""
    return {_plural(name): value for name, value in (stage.resources or spec.devices or {}).items()}


def _plural(name: str) -> str:
    """Tune's ``cpu`` and ``gpu`` are our ``cpus`` and ``gpus``."""
    return {"cpu": "cpus", "gpu": "gpus"}.get(name, name)
