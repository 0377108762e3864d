from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flambe.errors import ConfigError
from flambe.export.artifact import seal
from flambe.export.inspection import differences, inspect, tensor_header


def test_parts_and_tensors_are_listed(component: Path) -> None:
    found = inspect(component)
    assert found["class"] == "engine:Engine"
    assert set(found["parts"]) == {".", "model"}
    assert found["tensors"]["model.weight"] == ("F32", [2, 3])
    assert found["parameters"] == 12
    assert found["extensions"] == {"engine": "engine.py"}


def test_nothing_is_imported(component: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "engine.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Engine: pass\nclass Model: pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    inspect(component)
    assert not (tmp_path / "ran").exists()


def test_equal_components_have_no_differences(component: Path, tmp_path: Path) -> None:
    shutil.copytree(component, tmp_path / "copy")
    found = differences(component, tmp_path / "copy")
    assert found.pop("equal") is True
    assert list(found) == ["digests"]


def test_a_change_after_building_is_a_difference(component: Path, tmp_path: Path) -> None:
    seal(component)
    shutil.copytree(component, tmp_path / "copy")
    assert differences(component, tmp_path / "copy")["equal"] is True
    (tmp_path / "copy" / "state.json").write_text('{"changed": 1}')
    found = differences(component, tmp_path / "copy")
    assert found["equal"] is False
    assert found["digests"][0] != found["digests"][1]
    assert list(found["files"]) == ["state.json"]


def test_differences_are_named(component: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    other = write(tmp_path / "other", value=2.0, name="Robot")
    found = differences(component, other)
    assert found["equal"] is False
    assert found["class"] == ["engine:Engine", "engine:Robot"]
    assert set(found["files"]) == {
        "manifest.json",
        "model/manifest.json",
        "model/state.safetensors",
        "state.safetensors",
    }
    assert "tensors" not in found  # their shapes are equal


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 8, (4).to_bytes(8, "little") + b"nope", (2).to_bytes(8, "little") + b"[]"]
)
def test_a_broken_tensor_file_is_said(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="no safetensors file"):
        tensor_header(path)


def test_a_broken_manifest_is_said(component: Path) -> None:
    (component / "model" / "manifest.json").write_text('{"flambe_component": "1.0"}')
    with pytest.raises(ConfigError, match="model/manifest.json is no manifest"):
        inspect(component)
