"""Typed artifacts: whole or not at all, listed, read in another process, and never run by being read."""

import json
import math
import os
import subprocess
import sys
import zlib
from collections import OrderedDict

import numpy as np
import pytest

from flambe.errors import FlambeError, ProvenanceError
from flambe.record import png, table
from flambe.record.artifact_type import InvalidArtifactError, register_type
from flambe.record.artifacts import Artifacts

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
VALUES = {
    "numpy": np.array([[1.5, math.nan], [-math.inf, 0]]),
    "json": {"a": [1, math.inf, None, "ä"], "b": {"c": True}},
    "text": "two\r\nlines, and ünïcode\n",
    "table": [{"x": 1, "y": 2.5, "z": 'a "b", c\nd'}, {"x": None, "y": -math.inf, "z": "007"}, {"x": True, "y": 0.0, "z": ""}],
    "checkpoint": {"weights": np.ones((2, 2), "float32"), "step": 3, "seen": {1, 2}, "best": math.nan},
}  # fmt: skip


def same(found, expected):
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, np.ndarray):
        return found.dtype == expected.dtype and np.array_equal(found, expected, equal_nan=True)
    return type(found) is type(expected) and (found == expected or found != found)


@pytest.mark.parametrize("kind", VALUES)
def test_what_is_written_is_read_again(tmp_path, kind):
    artifacts = Artifacts(tmp_path)
    path = artifacts.save(VALUES[kind], "some/name", kind)
    assert path == tmp_path / "artifacts" / kind / "some" / "name"
    assert same(Artifacts(tmp_path).load("some/name"), VALUES[kind])
    (entry,) = Artifacts(tmp_path).entries()
    assert (entry.name, entry.type, entry.size) == ("some/name", kind, path.stat().st_size)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["artifacts.jsonl", "name"]


def test_several_arrays_are_one_numpy_artifact(tmp_path):
    artifacts = Artifacts(tmp_path)
    artifacts.save({"a": np.arange(3), "b": np.array(["x", "yz"])}, "arrays.npz", "numpy")
    found = artifacts.load("arrays.npz")
    assert found["a"].tolist() == [0, 1, 2]
    assert found["b"].tolist() == ["x", "yz"]
    with pytest.raises(InvalidArtifactError, match="an array of object has no stored form"):
        artifacts.save(np.array([{}, 1]), "x", "numpy")


def test_images_are_pngs_in_whatever_layout_they_came(tmp_path):
    artifacts = Artifacts(tmp_path)
    for name, value in {
        "hwc": np.tile(PIXELS, (3, 1, 1)),
        "chw": PIXELS.transpose(2, 0, 1),
        "grey": PIXELS[..., 0],
        "float": PIXELS.transpose(2, 0, 1) / 255,
        "bool": PIXELS[..., 0] > 4,
    }.items():
        artifacts.save(value, name, "image")
    assert np.array_equal(artifacts.load("chw"), PIXELS)
    assert np.array_equal(artifacts.load("grey")[..., 0], PIXELS[..., 0])
    assert np.abs(artifacts.load("float").astype(int) - PIXELS).max() <= 1
    assert set(np.unique(artifacts.load("bool"))) == {0, 255}
    assert np.array_equal(artifacts.load("hwc")[:2], PIXELS)
    for wrong in (np.zeros((5, 6, 7)), np.zeros(3), np.zeros((0, 3))):
        with pytest.raises(InvalidArtifactError, match="is no image"):
            artifacts.save(wrong, "wrong", "image")


@pytest.mark.parametrize(
    ("shape", "read"),
    [
        ((2, 2, 3), (2, 2, 3)),  # both layouts fit: the one with three channels
        ((4, 4, 3), (4, 4, 3)),
        ((1, 4, 3), (1, 4, 3)),
        ((3, 2, 4), (2, 4, 3)),
        ((3, 3, 3), (3, 3, 3)),  # of both or neither, [C, H, W]
        ((1, 2, 4), (2, 4, 1)),
        ((5, 2, 3), (5, 2, 3)),  # one fits
        ((2, 5, 6), (5, 6, 2)),
    ],
)
def test_of_an_image_that_fits_both_layouts_the_one_with_three_channels_is_meant(tmp_path, shape, read):
    artifacts = Artifacts(tmp_path)
    value = np.arange(math.prod(shape), dtype=np.uint8).reshape(shape)
    artifacts.save(value, "image", "image")
    is_first = read != shape or shape == (3, 3, 3)
    assert np.array_equal(artifacts.load("image"), value.transpose(1, 2, 0) if is_first else value)
    assert artifacts.load("image").shape == read


def test_a_png_that_is_damaged_or_of_another_form_is_told(tmp_path):
    whole = png.encode(PIXELS)
    assert whole[:8] == b"\x89PNG\r\n\x1a\n"
    for broken in (whole[:-20], whole[:50] + b"x" + whole[51:], b"GIF89a", b""):
        with pytest.raises(FlambeError, match="no whole PNG file"):
            png.decode(broken)
    filtered = np.frombuffer(
        zlib.decompress(whole[whole.index(b"IDAT") + 4 : whole.index(b"IEND") - 8]), np.uint8
    ).copy()
    filtered[0] = 1
    at, end = whole.index(b"IDAT") - 4, whole.index(b"IEND") - 4
    with pytest.raises(FlambeError, match="rows are filtered. Open it with Pillow"):
        png.decode(whole[:at] + png._chunk(b"IDAT", zlib.compress(filtered.tobytes())) + whole[end:])


def test_audio_keeps_its_rate(tmp_path):
    artifacts = Artifacts(tmp_path)
    artifacts.save((8000, np.array([0.0, 1.0, -1.0, 2.0])), "beep.wav", "audio")
    rate, samples = artifacts.load("beep.wav")
    assert rate == 8000
    assert samples[:, 0].tolist() == [0, 32767, -32767, 32767]


def test_a_table_may_come_as_rows_columns_or_a_frame():
    import pandas as pd

    columns = {"a": [1, 2], "b": ["x", "y"]}
    assert table.rows_of(columns) == table.rows_of(pd.DataFrame(columns)) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert table.decode(table.encode([])) == []
    assert table.decode("a,b\n1,word\n") == [{"a": 1, "b": "word"}]
    with pytest.raises(FlambeError, match="different lengths"):
        table.rows_of({"a": [1], "b": []})
    with pytest.raises(FlambeError, match="row 2 of this table has 1 cells, its header 2"):
        table.decode("a,b\n1\n")
    with pytest.raises(FlambeError, match="a quote is open"):
        table.decode('a\n"x\n')


def test_torch_is_read_with_weights_only(tmp_path):
    torch = pytest.importorskip("torch")
    artifacts = Artifacts(tmp_path)
    layer = torch.nn.Linear(2, 1)
    artifacts.save(layer.state_dict(), "layer.pt", "torch")
    found = artifacts.load("layer.pt")
    assert isinstance(found, OrderedDict)
    assert torch.equal(found["weight"], layer.weight)
    assert torch.equal(torch.load(tmp_path / "artifacts/torch/layer.pt")["bias"], layer.bias)
    with pytest.raises(InvalidArtifactError, match=r"a whole Linear would be a pickle. Give its state_dict\(\)"):
        artifacts.save(layer, "whole.pt", "torch")
    with pytest.raises(ProvenanceError, match="more than tensors"):
        artifacts.save({"layer": layer}, "whole.pt", "torch")
    assert [entry.name for entry in artifacts.entries()] == ["layer.pt"]
    artifacts.save(layer, "whole.pt", "torch", allow_pickle=True)
    with pytest.raises(ProvenanceError, match="is a pickle"):
        artifacts.load("whole.pt")
    assert artifacts.load("whole.pt", allow_pickle=True).weight.shape == (1, 2)
    artifacts.save({"w": layer.weight.detach()}, "checkpoint", "checkpoint")
    assert torch.equal(artifacts.load("checkpoint")["w"], layer.weight)


class Trap:
    def __reduce__(self):
        return os.system, ("touch trapped",)


def test_a_pickle_is_written_and_read_only_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artifacts = Artifacts(tmp_path)
    with pytest.raises(InvalidArtifactError, match="both sides have to ask for it. Pass allow_pickle=True"):
        artifacts.save(Trap(), "trap", "pickle")
    artifacts.save(Trap(), "trap", "pickle", allow_pickle=True)
    with pytest.raises(ProvenanceError, match="runs code when it is read"):
        artifacts.load("trap")
    assert not (tmp_path / "trapped").exists()
    artifacts.load("trap", allow_pickle=True)
    assert (tmp_path / "trapped").exists()


MODULE = """
from pathlib import Path
Path("imported").touch()
def save(value, path): Path(path).write_text(value.upper())
def load(path): return Path(path).read_text().lower()
"""


def in_a_fresh_process(folder, code):
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    found = subprocess.run(
        [sys.executable, "-c", f"from flambe.record.artifacts import Artifacts\n{code}"],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    return found.stdout.strip() or found.stderr.strip().splitlines()[-1]


def test_a_type_of_ones_own_is_an_import_path_and_imported_only_where_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "shouting.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    register_type("shout", "shouting:save", "shouting:load")
    Artifacts(tmp_path).save("hear", "a", "shout")
    assert (tmp_path / "artifacts/shout/a").read_text() == "HEAR"
    assert Artifacts(tmp_path).load("a") == "hear"
    line = json.loads((tmp_path / "artifacts.jsonl").read_text())
    assert (line["save"], line["load"]) == ("shouting:save", "shouting:load")
    (tmp_path / "imported").unlink()
    refusal = in_a_fresh_process(tmp_path, "Artifacts('.').load('a')")
    assert "ProvenanceError: artifacts of type 'shout' are read by shouting:load, which is not imported" in refusal
    assert "register_type('shout', save=…, load='shouting:load'), or extensions=['shouting']" in refusal
    assert in_a_fresh_process(tmp_path, "print(len(Artifacts('.').entries()))") == "1"
    assert not (tmp_path / "imported").exists()
    assert in_a_fresh_process(tmp_path, "print(Artifacts('.').load('a', extensions=['shouting']))") == "hear"


def test_a_list_cannot_name_a_function_of_another_module(tmp_path):
    artifacts = Artifacts(tmp_path)
    artifacts.save("x", "a", "text")
    (tmp_path / "artifacts/evil").mkdir()
    (tmp_path / "artifacts/evil/a").write_text("touch trapped")
    line = {"name": "a", "type": "evil", "t": "", "size": 1, "save": "os:system", "load": "os:system"}
    (tmp_path / "artifacts.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(ProvenanceError, match="not imported because a file says so"):
        artifacts.load("a", extensions=["shouting"])
    with pytest.raises(ProvenanceError, match="may not be reached"):
        artifacts.load("a", extensions=["os"])
    (tmp_path / "artifacts.jsonl").write_text(
        json.dumps({**line, "name": "../../../etc/passwd", "type": "text"}) + "\n"
    )
    with pytest.raises(InvalidArtifactError, match="no name of an artifact"):
        artifacts.load("../../../etc/passwd")


def test_a_type_has_to_be_importable_and_of_its_own_name(tmp_path):
    for name, save in {"numpy": "a:b", "no name": "a:b", "ok": lambda value, path: None, "fine": "just_a_name"}.items():
        with pytest.raises(InvalidArtifactError, match="cannot be"):
            register_type(name, save, "a:b")
    register_type("gone", "no_such_module:save", "no_such_module:load")
    with pytest.raises(InvalidArtifactError, match="cannot be imported"):
        Artifacts(tmp_path).save(1, "x", "gone")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/passwd", "a/../b", "a//b", ".hidden", "a\\b", "a\nb", "x" * 300]
)
def test_a_name_stays_in_its_folder(tmp_path, name):
    with pytest.raises(InvalidArtifactError, match="is no name of an artifact"):
        Artifacts(tmp_path).save("x", name, "text")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_leaves_the_old_one(tmp_path):
    artifacts = Artifacts(tmp_path)
    artifacts.save({"a": 1}, "x", "checkpoint")
    with pytest.raises(FlambeError, match=r"b: objects of type object cannot be saved. Give its state"):
        artifacts.save({"a": 2, "b": object()}, "x", "checkpoint")
    for kind, value in {"text": 3, "json": object(), "table": 3, "audio": np.zeros((2, 2, 2)), "numpi": 1}.items():
        with pytest.raises(FlambeError):
            artifacts.save(value, "x", kind)
    with pytest.raises(InvalidArtifactError, match="a cell of this table"):
        artifacts.save([{"a": []}], "x", "table")
    assert artifacts.load("x") == {"a": 1}
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()].count("x") == 1
    with pytest.raises(InvalidArtifactError, match="there is no artifact type 'numpi'.*Did you mean 'numpy'"):
        artifacts.save(1, "x", "numpi")
    with pytest.raises(InvalidArtifactError, match="there is no artifact 'y' in .*There are x"):
        artifacts.load("y")


def test_the_newest_of_a_name_counts_and_a_torn_line_does_not(tmp_path):
    artifacts = Artifacts(tmp_path)
    artifacts.save("old", "a", "text")
    artifacts.save([1], "a", "json")
    artifacts.save("new", "a", "text")
    assert [entry.type for entry in artifacts.entries()] == ["json", "text"]
    assert (artifacts.load("a"), artifacts.load("a", "json")) == ("new", [1])
    artifacts.close()
    with (tmp_path / "artifacts.jsonl").open("a") as stream:
        stream.write('{"name": "b", "ty')
    assert len(Artifacts(tmp_path).entries()) == 2
    Artifacts(tmp_path).save("c", "c", "text")
    assert [entry.name for entry in Artifacts(tmp_path).entries()] == ["a", "a", "c"]
    (tmp_path / "artifacts.jsonl").write_text("[]\n")
    with pytest.raises(FlambeError, match=r"artifacts.jsonl: b'\[\]' is no artifact"):
        Artifacts(tmp_path).entries()
