"""What no config, spec, run or saved component reaches, however it is asked for: refused before anything is imported or called."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flambe
from flambe.build.builder import build
from flambe.build.scope import Scope
from flambe.build.trust import find_data_class, import_extensions, locate
from flambe.compile import compile_text
from flambe.compile.library import Library
from flambe.compile.tags import resolve
from flambe.errors import ConfigError, FlambeError
from flambe.spec.codec import load_spec

MODULE = """
open('sprung', 'w')
import os, subprocess
import os.path as place
from os import system
from subprocess import Popen, run
from my_inner import Borrowed
class Engine:
    def __init__(self, size: int = 1, inner=None): ...
    @classmethod
    def make(cls, size: int = 1): ...
    @classmethod
    def _make(cls): ...
class _Hidden: ...
_alias = Engine
shell = os.system
popen = os.popen
"""
DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of a user that leaves a file when it is imported."""
    (tmp_path / "my_module.py").write_text(MODULE)
    (tmp_path / "exp.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def faults(project: Path, body: str, header: str = "my_module: ./my_module.py\n---\n") -> str:
    with pytest.raises(ConfigError) as caught:
        compile_text(f"{header}!Experiment\npipeline:\n  a: {body}\n", name="x", file=str(project / "exp.yaml"))
    assert not (project / "sprung").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        ("os.system", "Tags reach components, not Python's own library"),
        ("builtins.eval", "Tags reach components, not Python's own library"),
        ("subprocess.Popen", "Tags reach components, not Python's own library"),
        ("my_module.os.system", "os is a module that my_module imports"),
        ("my_module.os", "os is a module that my_module imports"),
        ("my_module.place.join", "place is a module that my_module imports"),
        ("my_module.subprocess.Popen", "subprocess is a module that my_module imports"),
        ("my_module.Popen", "Popen is subprocess.Popen, which my_module only imports"),
        ("my_module.run", "run is subprocess.run, which my_module only imports"),
        ("my_module.system", "system is posix.system, which my_module only imports"),
        ("my_module.shell", "which my_module only imports"),
        ("my_module.popen", "popen is os.popen, which my_module only imports"),
        ("my_module._Hidden", "_Hidden is private"),
        ("my_module._alias", "_alias is private"),
        ("my_module.Engine._make", "_make is private"),
        ("my_module.Engine.__init__", "__init__ is private"),
        ("my_module.Engine.__subclasses__", "__subclasses__ is private"),
        ("my_module.Engine.make.__globals__", "__globals__ is private"),
        ("my_module.__builtins__.eval", "the module 'my_module' has no '__builtins__'"),
        ("flambe.cli.door.enter", "may not reach flambe.cli.door:enter; expected a component of flambe"),
        ("flambe.record.run.replace_file", "may not reach flambe.record.run:replace_file"),
        ("flambe.record.run.os.remove", "os is a module that flambe.record.run imports"),
        ("__main__.X", "unknown tag !__main__.X"),
        ("!python/object/apply:os.system", "!!python/object/apply:os.system"),
    ],
)
def test_a_tag(project: Path, tag: str, why: str) -> None:
    assert why in faults(project, f"!{tag} {{}}")


OF_TORCH_OR_RAY = (
    "torch.os.system torch.load torch.hub.load torch.serialization.load torch.utils.data.DataLoader torch.nn.Linear.__init__ "
    "torch.nn.functional.os.system torch.nn.functional.has_torch_function torch.distributed.run.main ray.init ray.tune.run"
)


@pytest.mark.parametrize("tag", OF_TORCH_OR_RAY.split())
def test_a_tag_of_torch_or_ray(tag: str) -> None:
    if importlib.util.find_spec(tag.partition(".")[0]) is None:
        pytest.skip("not installed")
    with pytest.raises(ConfigError, match="may not reach|unknown tag"):
        resolve(tag, Library(), {})


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("a.__class__.__init__.__globals__", "reads '__class__', which no link may"),
        ("a[inner].__reduce__", "reads '__reduce__', which no link may"),
        ("a.items.gi_frame.f_globals", "reads 'gi_frame', which no link may"),
        ("a.f_builtins", "reads 'f_builtins', which no link may"),
        ("a[__dict__]", "a has no '__dict__'"),
        ("os.system", "begins with 'os', which is no stage"),
        ("my_module.os.system", "begins with 'my_module', which is no stage"),
    ],
)
@pytest.mark.parametrize("tag", ["@", "call", "copy"])
def test_a_link(project: Path, tag: str, link: str, why: str) -> None:
    told = faults(project, f"!my_module.Engine\n    size: 3\n  b: !my_module.Engine\n    inner: !{tag} '{link}'")
    if link == "a[__dict__]":
        assert "__dict__" in told
    else:
        assert why in told


@pytest.mark.parametrize(
    "name", ["os", "builtins", "antigravity", "json.decoder", "flambe", "flambe.learn", "a b", "../x", ""]
)
def test_a_module_that_a_header_cannot_name(project: Path, name: str) -> None:
    (project / "antigravity.py").write_text(MODULE)
    told = faults(project, "!my_module.Engine {}", f"my_module: ./my_module.py\n'{name}': ./antigravity.py\n---\n")
    assert (
        "is the name of a module of Python itself" in told
        or "is the name of flambe itself" in told
        or "is no module name" in told
    )
    document = {
        "flambe_spec": "1.0",
        "name": "x",
        "stages": [],
        "environment": {"extensions": {name: "./antigravity.py"}},
    }
    with pytest.raises(ConfigError, match="the extension .* is (the name of|no module name)"):
        load_spec(json.dumps(document))
    with pytest.raises(ConfigError, match="the extension .* is (the name of|no module name)"):
        import_extensions({name: str(project / "antigravity.py")})
    assert not (project / "sprung").exists()


TARGETS = [
    "os:system", "builtins:eval", "builtins:exec", "posix:system", "subprocess:Popen", "importlib:import_module", "flambe:os.system",
    "flambe.cli.door:enter", "flambe.record.run:replace_file", "flambe.record.run:os.remove", "flambe.build.saved:load",
    "flambe.build.component:Component.__subclasses__", "flambe.build.component:Component._state", "flambe.build.trust:importlib.import_module",
    "flambe.no.such.room:A", "flambe..x:A", "os.path:os.system", "os:system.__call__", ":system", "os:", ":", "", "os", "a b:c", "..x:A", "\0:A",
    "antigravity:A", "pathlib:Path.write_text", "functools:partial", "operator:attrgetter", "types:FunctionType", "ctypes:CDLL",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_a_class_of_a_spec_that_somebody_wrote_by_hand(target: str) -> None:
    before = set(sys.modules)
    with pytest.raises(FlambeError):
        locate(target)
    for node in ({"$new": target, "$args": ["touch sprung"]}, {"$yaml": f"!{target}", "value": "touch sprung"}):
        with pytest.raises(FlambeError):
            build(node, scope=Scope(stage="a"))
    with pytest.raises(FlambeError):
        find_data_class(target)
    assert "antigravity" not in set(sys.modules) - before


@pytest.mark.parametrize(
    "attr", [["__class__", "__init__", "__globals__"], ["__dict__"], ["gi_frame"], ["f_globals"], ["__reduce__"]]
)
@pytest.mark.parametrize("more", [{}, {"call": True}, {"copy": True}])
def test_a_link_of_a_spec_that_somebody_wrote_by_hand(attr: list[str], more: dict[str, Any]) -> None:
    body = {"first": [1], "second": {"$link": ["a", "first"], "attr": attr, **more}}
    with pytest.raises(FlambeError, match="is no attribute that a link may follow"):
        build(body, scope=Scope(stage="a"))


def test_a_spec_by_hand_through_the_command(tmp_path: Path) -> None:
    for target in ("os:system", "builtins:eval", "subprocess:run"):
        document = {
            "flambe_spec": "1.0",
            "name": "x",
            "stages": [{"name": "a", "body": {"$new": target, "$args": ["touch sprung"]}}],
        }
        done = subprocess.run(
            [sys.executable, "-m", "flambe.cli.umbrella", "exec", "-"],
            input=json.dumps(document),
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1, "a stage that failed"
        assert f"{target} may not be reached" in done.stderr
    assert not (tmp_path / "sprung").exists()


OPENED = """
import sys
import flambe
from flambe.errors import ProvenanceError
from flambe.reading.reader import Reader
from flambe.spec.codec import load_spec

assert [row["name"] for row in Reader("run").rows()] == ["sample"]
load_spec(open("run/spec.json", "rb").read())
for folder in ("component", "component/cell", "run/stages/walk/scale=0.5/checkpoint"):
    try:
        flambe.load(folder)
    except ProvenanceError as error:
        print(error)
assert "sample" not in sys.modules
"""


def test_a_run_and_a_component_of_somebody_else(tmp_path: Path) -> None:
    """Opening them imports nothing that they name, though it lies in the working folder."""
    shutil.copytree(DATA / "v1.0" / "run", tmp_path / "run", symlinks=True)
    shutil.copytree(DATA / "v1.0" / "component", tmp_path / "component")
    (tmp_path / "sample.py").write_text("open('sprung', 'w')\n")
    # A process of its own: this one may know a module of that name already.
    done = subprocess.run([sys.executable, "-c", OPENED], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 3 == done.stdout.count('extensions={"sample"')
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"$new": "os:system", "$args": ["touch sprung"]}}, "os:system may not be reached"),
        (
            {"config": {"$new": "subprocess:Popen", "args": "touch sprung", "shell": True}},
            "subprocess:Popen may not be reached",
        ),
        ({"config": {"os": "system"}}, "its config names no class"),
        ({"config": {"$new": 3}}, "is no manifest"),
        ({"parts": ["../" * 30 + "etc"]}, "holds no saved component|may not be reached"),
        ({"files": {"/dev/zero": "0"}}, "/dev/zero is missing"),
        ({"files": {"../../../../etc/hostname": "0"}}, "is missing|was changed"),
        ({"flambe_component": "9.0"}, "version 9.0, this program reads version 1.x"),
    ],
)
def test_a_manifest_by_hand(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    shutil.copytree(DATA / "v1.0" / "component", tmp_path / "component")
    path = tmp_path / "component" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FlambeError, match=message):
        flambe.load(tmp_path / "component")
