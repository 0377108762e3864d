"""Saved components: written whole, checked, loaded part by part, in this process and in others."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Mapping
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambe
from flambe.build.builder import Scope, build
from flambe.build.component import Component
from flambe.build.made import arguments_of, made_of
from flambe.build.registrable import registrable_factory, target_of
from flambe.build.saved import (
    LoadError,
    SaveError,
    borrowed_parts,
    load_component,
    load_state_from_file,
    save_component,
    save_state_to_file,
)
from flambe.build.state import state_digest
from flambe.errors import FlambeError, ProvenanceError
from flambe.spec.nodes import LinkTarget


class Leaf(Component):
    def __init__(self, size: int = 2, name: str = "leaf") -> None:
        self.size, self.name = size, name
        self.values = np.zeros(size)
        self.register_attrs("values")

    @property
    def doubled(self) -> Any:
        return self.values * 2

    @registrable_factory
    @classmethod
    def big(cls, times: int) -> Leaf:
        return cls(2 * times, "big")


class Holder(Component):
    def __init__(self, first: Any, second: Any = None, options: Any = None) -> None:
        self.first, self.second, self.options = first, second, options
        self.own = Leaf(1, "own")


class Data(Component):
    immutable = True

    def __init__(self, path: str, field: Any = None) -> None:
        self.path = path
        self.rows = np.arange(4)
        self.field = field

    def _state(self, state_dict: Any, prefix: str, local_metadata: Any) -> Any:
        state_dict[prefix + "rows"] = self.rows
        return state_dict

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], state: Mapping[str, Any]) -> Data:
        made = cls.__new__(cls)
        made.path, made.field, made.rows = "restored", arguments.get("field"), state["rows"]
        return made


class Drawing(Component):
    def __init__(self) -> None:
        self.drawn = random.random() + np.random.random()


def filled(size: int, value: float, name: str = "leaf") -> Leaf:
    leaf = Leaf(size, name)
    leaf.values[:] = value
    return leaf


# --- round trips ---


def test_what_python_made_comes_back(tmp_path: Path) -> None:
    shared = filled(3, 1.5, "shared")
    made = Holder(shared, [shared, filled(2, float("nan"))], {"a.b": (shared, 2**70), 5: {1, 2}})
    made.own.values[0] = 7
    flambe.save(made, tmp_path / "it")
    back = flambe.load(tmp_path / "it")
    assert isinstance(back, Holder)
    assert back.first.values.tolist() == [1.5] * 3
    assert back.first is back.second[0] is back.options["a.b"][0]
    assert back.options["a.b"][1] == 2**70
    assert back.options[5] == {1, 2}
    assert np.isnan(back.second[1].values).all()
    assert back.own.values[0] == 7
    assert arguments_of(back.first) == {"size": 3, "name": "shared"}
    # And once more: nothing is lost on the way through.
    flambe.save(back, tmp_path / "again")
    assert state_digest(tmp_path / "again") == state_digest(tmp_path / "it")
    first, second = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("it", "again"))
    assert first["config"] == second["config"]


def test_the_folder_is_as_documented(tmp_path: Path) -> None:
    shared = Leaf(3)
    save_component(Holder(shared, [Leaf(1)], {"k": shared}), tmp_path / "it")
    files = {str(path.relative_to(tmp_path / "it")) for path in (tmp_path / "it").rglob("*") if path.is_file()}
    five = {"manifest.json", "state.safetensors", "state.json", "config.yaml", "version.txt", "source.py"}
    folders = ["", "first/", "second.0/", "own/"]
    assert files == {folder + name for folder in folders for name in five}
    assert (tmp_path / "it" / "version.txt").read_text() == "Holder:0.0.0\n"
    assert "class Holder(Component):" in (tmp_path / "it" / "source.py").read_text()
    manifest = json.loads((tmp_path / "it" / "manifest.json").read_text())
    assert manifest["flambe_component"] == "1.0"
    assert manifest["class"] == target_of(Holder)
    assert manifest["factory"] is None
    assert manifest["parts"] == ["first", "second.0", "own"]
    assert manifest["config"] == {
        "$new": target_of(Holder),
        "first": {"$saved": "first"},
        "second": [{"$saved": "second.0"}],
        "options": {"k": {"$saved": "first"}},
    }
    text = (tmp_path / "it" / "config.yaml").read_text()
    assert "size: 3" in text
    assert "!@ first" in text


def test_every_folder_loads_alone(tmp_path: Path) -> None:
    save_component(Holder(Holder(filled(2, 4.0)), filled(1, 5.0)), tmp_path / "it")
    assert flambe.load(tmp_path / "it" / "first" / "first").values.tolist() == [4.0, 4.0]
    assert flambe.load(tmp_path / "it" / "second").values.tolist() == [5.0]
    inner = flambe.load(tmp_path / "it" / "first")
    assert inner.first.values.tolist() == [4.0, 4.0]


def test_a_part_may_lie_in_another(tmp_path: Path) -> None:
    shared = filled(2, 3.0)
    made = Holder(Holder(shared), Holder(shared))
    parts = save_component(made, tmp_path / "it")
    assert parts[id(made)] == ""
    assert parts[id(shared)] == "first/first"
    manifest = json.loads((tmp_path / "it" / "second" / "manifest.json").read_text())
    assert manifest["config"]["first"] == {"$saved": "../first/first"}
    back = flambe.load(tmp_path / "it")
    assert back.first.first is back.second.first
    assert flambe.load(tmp_path / "it" / "second").first.values.tolist() == [3.0, 3.0]


def test_a_factory_is_called_again(tmp_path: Path) -> None:
    leaf = Leaf.big(3)
    leaf.values[:] = 2
    save_component(leaf, tmp_path / "it")
    manifest = json.loads((tmp_path / "it" / "manifest.json").read_text())
    assert manifest["factory"] == "big"
    assert manifest["config"] == {"$new": f"{target_of(Leaf)}.big", "times": 3}
    back = flambe.load(tmp_path / "it")
    assert (back.size, back.name, back.values.tolist()) == (6, "big", [2.0] * 6)


def test_arrays_among_the_arguments_are_stored(tmp_path: Path) -> None:
    save_component(Holder(np.arange(3), {"deep": [np.ones(2)]}), tmp_path / "it")
    back = flambe.load(tmp_path / "it")
    assert back.first.tolist() == [0, 1, 2]
    assert back.second["deep"][0].tolist() == [1, 1]


def test_a_part_that_was_only_an_argument_is_kept(tmp_path: Path) -> None:
    class Consumes(Component):
        def __init__(self, leaf: Any) -> None:
            self.total = float(leaf.values.sum())

    save_component(Consumes(filled(3, 2.0)), tmp_path / "it")
    assert flambe.load(tmp_path / "it").total == 6.0


def test_a_part_that_came_later_is_put_back(tmp_path: Path) -> None:
    made = Holder(Leaf())
    made.later = filled(2, 8.0)  # type: ignore[attr-defined]
    save_component(made, tmp_path / "it")
    assert flambe.load(tmp_path / "it").later.values.tolist() == [8.0, 8.0]


def test_a_constructor_that_changes_its_parts_has_no_last_word(tmp_path: Path) -> None:
    class Resets(Component):
        def __init__(self, leaf: Any) -> None:
            self.leaf = leaf
            leaf.values[:] = -1

    made = Resets(Leaf(2))
    made.leaf.values[:] = 5
    save_component(made, tmp_path / "it")
    assert flambe.load(tmp_path / "it").leaf.values.tolist() == [5.0, 5.0]


def test_saved_arguments_may_be_fewer(tmp_path: Path) -> None:
    class Slim(Component):
        def __init__(self, rows: Any = None) -> None:
            self.rows = rows
            self.register_attrs("rows")

        def saved_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in arguments.items() if key != "rows"}

    save_component(Slim(np.arange(3)), tmp_path / "it")
    assert json.loads((tmp_path / "it" / "manifest.json").read_text())["config"] == {"$new": target_of(Slim)}
    assert flambe.load(tmp_path / "it").rows.tolist() == [0, 1, 2]


# --- between stages ---


def test_a_borrowed_immutable_is_a_reference(tmp_path: Path) -> None:
    stages = tmp_path / "stages"
    data = Data("/no/such/file.csv", Leaf(2, "field"))
    save_component(data, stages / "dataset" / "0" / "checkpoint")
    borrowed = borrowed_parts(data, {"stage": "dataset", "path": "../../../dataset/0/checkpoint"})
    made = Holder(Holder(data), data.field)
    folder = stages / "train" / "lr=1" / "checkpoint"
    parts = save_component(made, folder, borrowed=borrowed)
    assert id(data) not in parts
    config = json.loads((folder / "first" / "manifest.json").read_text())["config"]
    path = "../../../../dataset/0/checkpoint"
    assert config["first"] == {"$result": {"stage": "dataset", "path": path}}
    root = json.loads((folder / "manifest.json").read_text())["config"]
    assert root["second"]["$result"]["path"] == "../../../dataset/0/checkpoint/field"
    back = load_component(folder)
    assert back.first.first.path == "restored"
    assert back.first.first.rows.tolist() == [0, 1, 2, 3]
    assert back.second is back.first.first.field
    asked: list[Any] = []

    def results(reference: Mapping[str, Any], where: Path) -> Any:
        asked.append((reference["stage"], os.path.normpath(where / reference["path"])))
        return data.field if reference["path"].endswith("field") else data

    assert load_component(folder, results=results).first.first is data
    assert ("dataset", str(stages / "dataset" / "0" / "checkpoint")) in asked
    # A stage that took a dataset, saved again with nothing borrowed, holds it.
    save_component(back, tmp_path / "whole")
    assert flambe.load(tmp_path / "whole" / "first" / "first").rows.tolist() == [0, 1, 2, 3]


def test_a_lost_reference_says_which_stage(tmp_path: Path) -> None:
    data = Data("x")
    save_component(Holder(data), tmp_path / "it", borrowed={id(data): {"stage": "dataset", "path": "../gone"}})
    with pytest.raises(LoadError, match="the result of the stage 'dataset', which is not at .*/gone"):
        flambe.load(tmp_path / "it")


def test_links_are_replaced_by_what_they_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAMBE_TEST_SECRET", "hush-hush")
    model = Leaf(4, "model")
    node = {
        "$new": target_of(Holder),
        "first": {"$link": ["model"]},
        "second": {
            "$new": target_of(Leaf),
            "size": {"$link": ["model"], "attr": ["size"]},
            "name": {"$env": "FLAMBE_TEST_SECRET"},
        },
        "options": [{"$link": ["stage", "second"]}, {"$link": ["stage", "first"], "attr": ["doubled"]}],
    }

    def outside(target: LinkTarget) -> Any:
        return getattr(model, target.attr[0]) if target.attr else model

    made = build(node, scope=Scope(stage="stage", resolve_outside=outside))
    assert made.second.name == "hush-hush"
    save_component(made, tmp_path / "it")
    assert not any(b"hush-hush" in path.read_bytes() for path in (tmp_path / "it").rglob("*") if path.is_file())
    manifest = json.loads((tmp_path / "it" / "manifest.json").read_text())
    assert manifest["config"]["first"] == {"$saved": "first"}
    assert manifest["config"]["options"] == [{"$saved": "second"}, {"$saved": "first", "attr": ["doubled"]}]
    second = json.loads((tmp_path / "it" / "second" / "manifest.json").read_text())["config"]
    assert second == {"$new": target_of(Leaf), "size": 4, "name": {"$env": "FLAMBE_TEST_SECRET"}}
    back = flambe.load(tmp_path / "it")
    assert (back.second.name, back.second.size, back.options[0] is back.second) == ("hush-hush", 4, True)


# --- refusals ---


def test_what_cannot_be_saved_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FlambeError, match=r"first: second.k: objects of type object cannot be saved"):
        save_component(Holder(Holder(1, {"k": object()})), tmp_path / "it")
    made = Holder(Leaf())
    made.first.values = lambda: 0
    with pytest.raises(FlambeError, match="first: values: objects of type function cannot be saved"):
        save_component(made, tmp_path / "it")
    with pytest.raises(SaveError, match="a builtins.dict cannot be saved as a component"):
        flambe.save({}, tmp_path / "it")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_kept(tmp_path: Path) -> None:
    flambe.save(filled(1, 1.0), tmp_path / "it")
    with pytest.raises(ValueError, match="is there already"):
        flambe.save(filled(1, 2.0), tmp_path / "it")
    assert flambe.load(tmp_path / "it").values[0] == 1
    flambe.save(filled(1, 2.0), tmp_path / "it", overwrite=True)
    assert flambe.load(tmp_path / "it").values[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_pickles_and_installs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="nothing is stored as pickle"):
        flambe.save(Leaf(), tmp_path / "it", pickle_only=True)
    flambe.save(Leaf(), tmp_path / "it")
    with pytest.raises(FlambeError, match="installs nothing"):
        flambe.load(tmp_path / "it", auto_install=True)


CHANGED = "is torn or was changed: its SHA-256 is .{64}, recorded was .{64}"


@pytest.mark.parametrize("name", ["state.json", "version.txt", "own/manifest.json", "own/state.json"])
def test_a_changed_file_is_refused(tmp_path: Path, name: str) -> None:
    save_component(Holder(filled(2, 1.0)), tmp_path / "it")
    path = tmp_path / "it" / name
    path.write_bytes(path.read_bytes().replace(b"1", b"2") + b" ")
    with pytest.raises(LoadError, match=f"{name} {CHANGED}"):
        flambe.load(tmp_path / "it")


def test_a_torn_file_of_tensors_is_refused_and_a_changed_one_by_those_who_ask(tmp_path: Path) -> None:
    flambe.save(filled(2, 1.0), tmp_path / "it")
    flambe.save(filled(2, 1.0), tmp_path / "packed", compress=True)
    path = tmp_path / "it" / "state.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    # Its data is read when it is used: nothing is compared that may be gigabytes.
    assert flambe.load(tmp_path / "it").values[0] == 1
    with pytest.raises(LoadError, match=f"state.safetensors {CHANGED}"):
        flambe.load(tmp_path / "it", verify=True)
    for torn in (whole[:-1], whole + b" ", whole[:9], b""):
        path.write_bytes(torn)
        with pytest.raises(LoadError, match="state.safetensors is torn"):
            flambe.load(tmp_path / "it")
        with pytest.raises(LoadError, match=f"state.safetensors {CHANGED}"):
            flambe.load(tmp_path / "it", verify=True)


def test_what_comes_out_of_an_archive_is_compared_whole(tmp_path: Path) -> None:
    flambe.save(filled(2, 1.0), tmp_path / "it")
    path = tmp_path / "it" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"1")
    with tarfile.open(tmp_path / "it.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "it", "it")
    with pytest.raises(LoadError, match=f"state.safetensors {CHANGED}"):
        flambe.load(tmp_path / "it.tar.gz")
    assert flambe.load(tmp_path / "it.tar.gz", verify=False).values[0] == 1


def test_loading_leaves_random_numbers_where_they_were(tmp_path: Path) -> None:
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    flambe.save(Drawing(), tmp_path / "it")
    random.seed(1)
    np.random.seed(1)
    flambe.load(tmp_path / "it")
    assert (random.random(), np.random.random()) == expected


def test_a_changed_value_can_be_read_by_those_who_ask(tmp_path: Path) -> None:
    save_component(filled(1, 1.0), tmp_path / "it")
    path = tmp_path / "it" / "version.txt"
    path.write_text("changed")
    assert flambe.load(tmp_path / "it", verify=False).values[0] == 1


def test_what_is_no_component_says_so(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"holds no saved component \(no manifest.json\)"):
        flambe.load(tmp_path)
    with pytest.raises(LoadError, match="there is nothing at"):
        flambe.load(tmp_path / "nowhere")
    (tmp_path / "manifest.json").write_text('{"flambe_component": "2.0"}')
    with pytest.raises(FlambeError, match=r"version 2.0, this program reads version 1.x"):
        flambe.load(tmp_path)


@pytest.mark.parametrize(
    ("saved", "now", "outcome"),
    [
        ("1.2.0", "1.2.0", "silent"),
        ("1.0.0", "1.0.0", "silent"),
        ("1.2.0", "1.2.9", "silent"),  # said with --verbose alone
        ("1.2.0", "1.3.0", "warned"),
        ("1.3.0", "1.2.0", "warned"),
        ("1.0.0", "1.1.0", "warned"),
        ("1.2.0", "2.0.0", "refused"),
        ("1.0.0", "2.0.0", "refused"),
        ("0.4.0", "1.0.0", "refused"),
        ("0.0.0", "3.0.0", "silent"),  # it was not versioned
    ],
)
def test_semantic_versions(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    saved: str,
    now: str,
    outcome: str,
) -> None:
    monkeypatch.setattr(Leaf, "_flambe_version", saved)
    save_component(Holder(Leaf()), tmp_path / "it")
    assert (tmp_path / "it" / "first" / "version.txt").read_text() == f"Leaf:{saved}\n"
    monkeypatch.setattr(Leaf, "_flambe_version", now)
    if outcome == "refused":
        with pytest.raises(LoadError, match=f"was saved as version {saved}, the class here is version {now}"):
            flambe.load(tmp_path / "it")
        return
    flambe.load(tmp_path / "it")
    assert ("Leaf" in capsys.readouterr().err) == (outcome == "warned")


def test_an_unversioned_class_whose_source_has_changed_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_component(Leaf(), tmp_path / "it")
    source = tmp_path / "it" / "source.py"
    flambe.load(tmp_path / "it")
    assert "has changed since" not in capsys.readouterr().err
    source.write_text(source.read_text().replace("self.values * 2", "self.values * 3"))
    flambe.load(tmp_path / "it", verify=False)
    told = capsys.readouterr().err
    assert "Leaf has changed since" in told
    assert "-        return self.values * 3\n+        return self.values * 2" in told


def test_what_is_called_otherwise_now(tmp_path: Path) -> None:
    save_component(Holder(filled(2, 3.0), options=Leaf.big(2)), tmp_path / "it")
    here = target_of(Leaf)
    for manifest in (tmp_path / "it").rglob("manifest.json"):
        manifest.write_text(manifest.read_text().replace(here, "zoo.older:Twig"))
    with pytest.raises(FlambeError, match="zoo.older:Twig"):
        flambe.load(tmp_path / "it", verify=False)
    loaded = flambe.load(tmp_path / "it", verify=False, rename={"zoo.older:Twig": here})
    assert type(loaded.first) is Leaf
    assert loaded.first.values.tolist() == [3.0, 3.0]
    assert loaded.options.size == 4
    for manifest in (tmp_path / "it").rglob("manifest.json"):
        manifest.write_text(manifest.read_text().replace("zoo.older:Twig", "zoo.older:Leaf"))
    module = here.partition(":")[0]
    assert type(flambe.load(tmp_path / "it", verify=False, rename={"zoo.older": module}).first) is Leaf
    # A name of somebody else's is not reached by renaming.
    with pytest.raises(ProvenanceError):
        flambe.load(tmp_path / "it", verify=False, rename={"zoo.older:Leaf": "antigravity:Leaf"})


def test_a_class_that_is_gone_says_how_to_name_it(tmp_path: Path) -> None:
    save_component(Leaf(), tmp_path / "it")
    manifest = tmp_path / "it" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(":Leaf", ":Gone"))
    with pytest.raises(
        FlambeError, match=r'If it is called otherwise now: flambe.load\(…, rename=\{".*:Gone": "module:Class"\}\)'
    ):
        flambe.load(tmp_path / "it", verify=False)


# --- classes of others ---

EXTENSION = """
from pathlib import Path
from flambe.build.component import Component
Path(__file__).with_name("was_imported").touch()
class Theirs(Component):
    def __init__(self, n):
        self.n = n
        self.double = 2 * n
        self.register_attrs("double")
"""


def run(code: str, cwd: Path) -> str:
    told = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_nobody_elses_class_is_imported_unasked(tmp_path: Path) -> None:
    package = tmp_path / "their_ext"
    package.mkdir()
    (package / "__init__.py").write_text(EXTENSION)
    run(
        "import flambe, their_ext; flambe.save(their_ext.Theirs(3), 'it', extensions={'their_ext': './their_ext', 'other': 'x'})",
        tmp_path,
    )
    manifest = json.loads((tmp_path / "it" / "manifest.json").read_text())
    assert re.fullmatch("sha256:[0-9a-f]{64}", manifest["extensions"].pop("their_ext"))
    assert manifest["extensions"] == {}
    assert "class Theirs" in (tmp_path / "it" / "source.py").read_text()
    (package / "was_imported").unlink()
    refused = run(
        "import flambe, sys\n"
        "try: flambe.load('it')\n"
        "except flambe.errors.ProvenanceError as error: print(error, error.exit_code)\n"
        "assert 'their_ext' not in sys.modules",
        tmp_path,
    )
    assert "holds a their_ext:Theirs" in refused
    assert 'extensions={"their_ext": "path/to/their_ext"}' in refused
    # What a builder's YAML loads is allowed by its header.
    assert "If you trust it: name it in the header of the YAML file, `their_ext: path/to/their_ext`, or" in refused
    assert refused.strip().endswith("3")
    assert not (package / "was_imported").exists()
    loaded = run("import flambe; print(flambe.load('it', extensions={'their_ext': './their_ext'}).double)", tmp_path)
    assert loaded.strip() == "6"
    named = run("import flambe; print(flambe.load('it', extensions=['their_ext']).double)", tmp_path)
    assert named.strip() == "6"
    (package / "__init__.py").write_text(EXTENSION.replace("2 * n", "3 * n"))
    changed = run(
        "import flambe, sys; sys.stderr = sys.stdout; print(flambe.load('it', extensions=['their_ext']).double)",
        tmp_path,
    )
    assert "warning: Theirs has changed since it was saved" in changed
    assert "+        self.double = 3 * n" in changed


def test_a_manifest_says_what_the_extensions_are_and_never_where(tmp_path: Path) -> None:
    def saved(place: Path, code: str, source: str, more: str = "") -> dict[str, str]:
        place.mkdir()
        (place / "ext_moved.py").write_text(code)
        (place / "beside.py").write_text(f"# {place}")
        run(
            f"import flambe, ext_moved; flambe.save(ext_moved.Moved(3), 'it', extensions={{'ext_moved': {source!r}{more}}})",
            place,
        )
        return {str(path.relative_to(place)): path.read_text("latin-1") for path in place.glob("it/*")}

    code = "from flambe import Component\nclass Moved(Component):\n    def __init__(self, n): super().__init__()\n"
    one = saved(tmp_path / "one", code, str(tmp_path / "one" / "ext_moved.py"))
    assert not [name for name, text in one.items() if str(tmp_path) in text]
    # Another folder, a relative path, the folder around it, beside other files: the same code.
    assert saved(tmp_path / "two", code, "./ext_moved.py") == one
    assert saved(tmp_path / "three", code, str(tmp_path / "three")) == one
    assert saved(tmp_path / "four", code + "# new\n", "ext_moved.py") != one
    for source, kept in (
        ("their-ext>=1,<2", "their-ext>=1,<2"),
        ("git+https://example.org/a.git@0a1b2c3", "git+https://example.org/a.git@0a1b2c3"),
        ("git+file:///home/me/a.git@0a1b2c3#subdirectory=x", "git+a.git@0a1b2c3#subdirectory=x"),
        ("/nowhere/ext_moved", "ext_moved"),
    ):
        folder = tmp_path / str(abs(hash(source)))
        manifest = json.loads(saved(folder, code, source)["it/manifest.json"])
        assert manifest["extensions"] == {"ext_moved": kept}, source


def test_a_forged_manifest_reaches_nothing(tmp_path: Path) -> None:
    save_component(Leaf(), tmp_path / "it")
    path = tmp_path / "it" / "manifest.json"
    manifest = json.loads(path.read_text())
    for target in ("os:system", "flambe.record.run:replace_file", "builtins:exec"):
        manifest["class"] = target
        manifest["config"] = {"$new": target, "$args": ["touch sprung"]}
        path.write_text(json.dumps(manifest))
        with pytest.raises((ProvenanceError, FlambeError)):
            flambe.load(tmp_path / "it")
    assert not Path("sprung").exists()


@pytest.mark.parametrize(
    "forged",
    [
        {"$saved": "own", "attr": ["save"], "call": True},
        {"$saved": "own", "attr": ["get_state"], "call": True},
        {"$saved": "own", "call": True},
        {"$saved": "own", "attr": ["__init__", "__globals__"]},
        {"$link": ["first"], "attr": ["run"], "call": True},
        {"$new": "subprocess:Popen", "args": "true"},
    ],
)
def test_a_forged_config_calls_nothing(tmp_path: Path, forged: Any) -> None:
    save_component(Holder(Leaf(), 1), tmp_path / "it")
    path = tmp_path / "it" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["config"]["second"] = forged
    path.write_text(json.dumps(manifest))
    with pytest.raises(FlambeError, match="would be called|may not be reached|no attribute that a link may follow"):
        flambe.load(tmp_path / "it")


# --- other forms ---


def test_archives(tmp_path: Path) -> None:
    flambe.save(Holder(filled(2, 3.0)), tmp_path / "it", compress=True)
    flambe.save(Holder(filled(2, 3.0)), tmp_path / "same" / "it", compress=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["it.tar.gz", "same"]
    assert (tmp_path / "it.tar.gz").read_bytes() == (tmp_path / "same" / "it.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "it.tar.gz") as tar:
        assert all(name == "it" or name.startswith("it/") for name in tar.getnames())
    assert flambe.load(tmp_path / "it.tar.gz").first.values.tolist() == [3.0, 3.0]
    with pytest.raises(SaveError):
        flambe.save(Leaf(), tmp_path / "it", compress=True)
    flambe.save(filled(1, 9.0), tmp_path / "it", compress=True, overwrite=True)
    assert flambe.load(tmp_path / "it.tar.gz").values[0] == 9
    (tmp_path / "broken.tar.gz").write_bytes((tmp_path / "it.tar.gz").read_bytes()[:200])
    with pytest.raises(LoadError, match="is no archive of a component"):
        flambe.load(tmp_path / "broken.tar.gz")


def test_an_archive_cannot_lead_out(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as tar:
        entry = tarfile.TarInfo("../escaped")
        tar.addfile(entry)
    with pytest.raises(LoadError, match="outside"):
        flambe.load(tmp_path / "evil.tar.gz")
    assert not (tmp_path.parent / "escaped").exists()


def test_http_addresses(tmp_path: Path) -> None:
    flambe.save(filled(2, 6.0), tmp_path / "it", compress=True)

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        assert flambe.load(f"{address}/it.tar.gz").values.tolist() == [6.0, 6.0]
        with pytest.raises(LoadError, match="cannot fetch .*not found"):
            flambe.load(f"{address}/other.tar.gz")
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(FlambeError, match=r"nothing here reads gopher:// addresses"):
        flambe.load("gopher://x/y")


def test_states_as_files(tmp_path: Path) -> None:
    state = Holder(filled(2, 4.0)).get_state()
    for compress in (False, True):
        save_state_to_file(state, tmp_path / "state", compress=compress)
    for path in (tmp_path / "state", tmp_path / "state.tar.gz"):
        back = load_state_from_file(path)
        assert list(back) == list(state)
        assert back["first.values"].tolist() == [4.0, 4.0]
        assert back._metadata["first"]["version"] == "0.0.0"
    made = Holder(filled(2, 4.0))
    save_component(made, tmp_path / "component")
    whole = load_state_from_file(tmp_path / "component")
    other = Holder(Leaf(2))
    other.load_state(whole, strict=True)
    assert other.first.values.tolist() == [4.0, 4.0]


def test_load_from_path(tmp_path: Path) -> None:
    Holder(filled(2, 4.0)).save(tmp_path / "it")
    back = Holder.load_from_path(str(tmp_path / "it"))
    assert back.first.values.tolist() == [4.0, 4.0]
    made = made_of(back)
    assert made is not None
    assert made.factory is None  # saved again it needs no path
    other = Holder.load_from_path(str(tmp_path / "it"), use_saved_config_defaults=False, first=Leaf(2, "mine"))
    assert (other.first.name, other.first.values.tolist()) == ("mine", [4.0, 4.0])
    with pytest.raises(LoadError, match="holds a Holder, no Leaf"):
        Leaf.load_from_path(str(tmp_path / "it"))
    with pytest.raises(FlambeError, match="use_saved_config_defaults: false"):
        Holder.load_from_path(str(tmp_path / "it"), first=1)
    node = {"$new": f"{target_of(Holder)}.load_from_path", "path": str(tmp_path / "it")}
    built = build({"$new": target_of(Holder), "first": node}, scope=Scope(stage="s"))
    save_component(built, tmp_path / "outer")
    (tmp_path / "it").rename(tmp_path / "moved")
    assert flambe.load(tmp_path / "outer").first.first.values.tolist() == [4.0, 4.0]


# --- bytes ---


def test_equal_objects_give_equal_folders(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_component(Holder(filled(2, 1.0), {"x", "y", "z"}), tmp_path / name)
    names = sorted(str(path.relative_to(tmp_path / "a")) for path in (tmp_path / "a").rglob("*"))
    for name in names:
        if (tmp_path / "a" / name).is_file():
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert len(names) > 10


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_leaves_the_old_one_or_the_new_one_whole(tmp_path: Path, moment: str) -> None:
    (tmp_path / "ext_kill.py").write_text(
        "from flambe.build.component import Component\n"
        "class One(Component):\n    def __init__(self, n):\n        self.n = n\n"
    )
    kill = "os.kill(os.getpid(), signal.SIGKILL)"
    code = (
        "import os, signal, sys, flambe, ext_kill\n"
        "from flambe.build import saving\n"
        "flambe.save(ext_kill.One(1), 'it')\n"
        "real = saving.put_in_place\n"
        "def dies(aside, place):\n"
        f"    {kill if moment == 'before' else 'real(aside, place)'}\n"
        f"    {kill}\n"
        "saving.put_in_place = dies\n"
        "flambe.save(ext_kill.One(2), 'it', overwrite=True)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    found = run("import flambe; print(flambe.load('it', extensions=['ext_kill']).n)", tmp_path)
    assert found.strip() == ("1" if moment == "before" else "2")


def test_the_swap_has_no_instant_without(tmp_path: Path) -> None:
    """While one process replaces a component again and again, a reader always finds one."""
    flambe.save(filled(1, 0.0), tmp_path / "it")
    stop = threading.Event()
    faults: list[str] = []

    def look() -> None:
        while not stop.is_set():
            if not (tmp_path / "it" / "manifest.json").exists():
                faults.append("gone")

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(30):
        flambe.save(filled(1, float(number)), tmp_path / "it", overwrite=True)
    stop.set()
    reader.join()
    assert not faults
