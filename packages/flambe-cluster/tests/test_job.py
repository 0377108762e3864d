"""What of a spec is copied, and where to."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from flambe.cluster import SSHCluster
from flambe.cluster.errors import RemoteFileTransferError
from flambe.cluster.job import submit, verify
from flambe.cluster.relocation import relocate
from flambe.errors import ConfigError, UsageError
from flambe.spec.digest import file_digest, spec_digest
from flambe.spec.nodes import Environment, Spec, Stage


def spec_of(folder: Path) -> Spec:
    (folder / "ext/mine").mkdir(parents=True, exist_ok=True)
    (folder / "ext/mine/__init__.py").write_text("x = 1\n")
    (folder / "words.txt").write_text("a b\n")
    words = str(folder / "words.txt")
    body = {
        "$new": "mine:X",
        "file": {"$file": words},
        "deep": [{"more": {"$grid": [{"$file": words}, "text"]}}],
        "s": words,
    }
    return Spec(
        name="n",
        stages=[Stage(name="a", body=body)],
        environment=Environment(extensions={"mine": str(folder / "ext"), "pandas": "pandas>=1"}, files={"w": words}),
    )


def test_files_and_extensions_move_and_plain_text_stays(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    remote, moved = relocate(spec, "/home/u/flambe/c")
    body = remote.stages[0].body
    words = str(tmp_path / "words.txt")
    assert set(moved) == {words, str(tmp_path / "ext")}
    assert body["file"] == {"$file": moved[words]}
    assert body["deep"][0]["more"]["$grid"] == [{"$file": moved[words]}, "text"]
    assert body["s"] == words
    assert remote.environment.files == {"w": moved[words]}
    assert remote.environment.extensions == {"mine": moved[str(tmp_path / "ext")], "pandas": "pandas>=1"}
    assert moved[words].startswith("/home/u/flambe/c/files/")
    assert moved[words].endswith("/words.txt")
    assert moved[str(tmp_path / "ext")].endswith("/ext")
    assert remote.output_dir == "/home/u/flambe/c/results"
    assert spec.stages[0].body["file"] == {"$file": words}  # ours is untouched


def test_files_of_the_machines_stay_and_those_with_a_url_are_downloaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tmp_path)
    web = tmp_path / "downloaded.txt"
    web.write_text("from the web")
    monkeypatch.setattr(
        "flambe.cluster.relocation.download.fetch", lambda source: web if "://" in source else Path(source)
    )
    spec.environment.files |= {"far": "/on/the/machines", "far_web": "https://host/far", "web": "https://host/near"}
    spec.environment.remote = ["far", "far_web"]
    spec.stages[0].body |= {"far": {"$file": "/on/the/machines"}, "web": {"$file": "https://host/near"}}
    remote, moved = relocate(spec, "/w")
    assert set(moved) == {str(tmp_path / "words.txt"), str(tmp_path / "ext"), str(web)}
    assert remote.stages[0].body["far"] == {"$file": "/on/the/machines"}
    assert remote.stages[0].body["web"] == {"$file": moved[str(web)]}
    assert remote.environment.files["far_web"] == "https://host/far"
    assert remote.environment.files["web"] == moved[str(web)]


def test_equal_files_from_anywhere_give_the_equal_spec(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    specs = []
    for folder in (one, two):
        spec = spec_of(folder)
        (folder / "ext/__pycache__").mkdir()
        (folder / f"ext/__pycache__/{folder.name}.pyc").write_text("junk")
        spec.stages[0].body.pop("s")
        specs.append(spec)
    digests = [spec_digest(relocate(spec, "/w")[0]) for spec in specs]
    assert digests[0] == digests[1]
    (two / "ext/mine/__init__.py").write_text("x = 2\n")
    changed = relocate(specs[1], "/w")[0]
    assert changed.environment.extensions != relocate(specs[0], "/w")[0].environment.extensions
    # As at home: it is the same experiment, and the keys of its units tell the code.
    assert spec_digest(changed) == digests[0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    os.unlink(tmp_path / "words.txt")
    with pytest.raises(ConfigError, match=r"words.txt is named by the spec, but not here"):
        relocate(spec, "/w")


def test_a_variable_that_the_spec_reads_has_to_be_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = SSHCluster("c", "10.0.0.1", [], "k", "u")
    spec = Spec(name="n", stages=[Stage(name="a", body={"$new": "m:X", "token": {"$env": "HF_TOKEN"}})])
    with pytest.raises(UsageError, match="Add --env HF_TOKEN"):
        submit(cluster, spec)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(UsageError, match="--env HF_TOKEN: there is no such variable here"):
        submit(cluster, spec, names=["HF_TOKEN"])


def test_a_spoilt_component_is_found_by_its_manifest(tmp_path: Path) -> None:
    part = tmp_path / "stages/a/0/checkpoint/model"
    part.mkdir(parents=True)
    (part / "state.json").write_text("{}")
    manifest = {"files": {"state.json": file_digest(part / "state.json")}}
    (part / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    assert verify(tmp_path) == 1
    (part / "state.json").write_text("[]")
    with pytest.raises(RemoteFileTransferError, match="state.json is not what its manifest says"):
        verify(tmp_path)
    (part / "state.json").unlink()
    with pytest.raises(RemoteFileTransferError, match="state.json is missing"):
        verify(tmp_path)


def test_of_a_function_only_its_code_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    project = tmp_path / "project"
    (project / "my_code").mkdir(parents=True)
    (project / "my_code/method.py").write_text("def main(name, config): ...\n")
    (project / "data").mkdir()
    (project / "data/large.csv").write_text("1" * 1000)
    body = {
        "$new": "flambe.runnable:Function",
        "main": "my_code.method:main",
        "name": "f",
        "config": {},
        "code": {"$file": str(project)},
    }
    spec = Spec(kind="function", name="f", stages=[Stage(name="main", body=body, reuse=False)])
    remote, moved = relocate(spec, "/w")
    (sent,) = map(Path, moved)
    assert [path.relative_to(sent).as_posix() for path in sent.rglob("*") if path.is_file()] == ["my_code/method.py"]
    assert remote.stages[0].body["code"] == {"$file": moved[str(sent)]}
    assert relocate(spec, "/w")[1] == moved
    (project / "my_code/method.py").write_text("def main(name, config): return 1\n")
    assert relocate(spec, "/w")[1] != moved
