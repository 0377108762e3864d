"""A spec as it runs on other machines: each file that it names, at its place there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec
from platformdirs import user_cache_dir

from flambe.cluster import transfer
from flambe.compile import download
from flambe.compile.git import fetched, parse_source
from flambe.errors import ConfigError
from flambe.record.code_copy import code_to_copy
from flambe.spec.codec import dump_spec, load_spec
from flambe.spec.digest import digest_of, file_digest
from flambe.spec.nodes import FILE, Spec, kind_of


def relocate(spec: Spec, workdir: str) -> tuple[Spec, dict[str, str]]:
    """Return the spec as it runs on the machines, and what has to be copied: local path → path there.

    Copies are named after their content, so the same files give the same spec, and with it the same results and run.

    Files that have a URL are downloaded here, once for all machines; those of the machines themselves are left alone.
    Raises ``ConfigError`` for a file that is not here, ``DownloadError`` for one that cannot be downloaded.
    """
    moved: dict[str, str] = {}

    # They are there already, or are downloaded there.
    there = {spec.environment.files[name] for name in spec.environment.remote}

    def place(path: str, kind: str) -> str:
        if path in there:
            return path
        path = str(download.fetch(path))
        source = Path(path)
        if not source.exists():
            raise ConfigError(
                f"{path} is named by the spec, but not here", hint="Compile it again where the files are."
            )
        if path not in moved:
            # `realpath` in the name: a link is sent as what it points to.
            moved[path] = f"{workdir}/{kind}/{_content(source)[:16]}/{source.name}"
        return moved[path]

    def rewrite(value: Any) -> Any:
        if kind_of(value) == FILE:
            return {**value, FILE: place(value[FILE], "files")}
        if isinstance(value, dict):
            return {key: rewrite(item) for key, item in value.items()}
        if isinstance(value, list):
            return [rewrite(item) for item in value]
        return value

    remote = load_spec(dump_spec(spec))
    if remote.kind == "function":
        body = remote.stages[0].body
        body["code"] = {FILE: str(_code_alone(spec))}
        # What is copied was decided here: there is no repository there.
        body["snapshot"] = "none" if body.get("snapshot") == "none" else "copy"
        body["settings"] = {k: v for k, v in body.get("settings", {}).items() if k not in ("dirty", "version_manager")}
        if not body["settings"]:
            del body["settings"]
    for stage in remote.stages:
        stage.body, stage.scheduler, stage.search = (
            rewrite(part) for part in (stage.body, stage.scheduler, stage.search)
        )
        stage.params = {key: rewrite(value) for key, value in stage.params.items()}
    remote.environment.extensions = {
        module: place(folder, "extensions") if (folder := folder_of(module, source)) else source
        for module, source in spec.environment.extensions.items()
    }
    remote.environment.files = {name: place(source, "files") for name, source in spec.environment.files.items()}
    remote.output_dir = f"{workdir}/results"
    return remote, moved


def _code_alone(spec: Spec) -> Path:
    """Return a folder with the code of a function and nothing else: the one it is in may hold all the data of a project."""
    cache = Path(user_cache_dir("flambe", appauthor=False))
    stage = msgspec.structs.replace(spec.stages[0], body={**spec.stages[0].body, "snapshot": "copy"})
    copy = code_to_copy(msgspec.structs.replace(spec, stages=[stage], debug=False), cache)
    assert copy is not None
    folder = cache / "code" / str(copy.tree)[:32]
    if not folder.is_dir():
        aside = folder.with_name(f"{folder.name}.{token_hex(4)}")
        aside.mkdir(parents=True)
        copy.write(aside)
        try:
            os.rename(aside, folder)
        except OSError:  # another command was quicker
            shutil.rmtree(aside)
    return folder


def folder_of(module: str, source: str) -> str | None:
    """Return the folder or file of an extension on this machine; None for one that has to be installed everywhere."""
    if os.path.isabs(source):
        return source
    git = parse_source(source) if "://" in source else None
    checkout = None if git is None else fetched(module, git)
    return None if checkout is None else str(checkout.folder)


def _content(source: Path) -> str:
    return digest_of([[name, file_digest(path)] for name, path in transfer.files_of(source) if path.is_file()])
