from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flambe.errors import ConfigError, ProvenanceError
from flambe.export import artifact


def test_the_digest_covers_content_and_names_not_place_or_time(component: Path, tmp_path: Path) -> None:
    first = artifact.seal(component)
    moved = tmp_path / "elsewhere" / "copy"
    shutil.copytree(component, moved)
    assert artifact.describe(moved).digest == first.digest
    assert artifact.seal(component) == first
    (moved / "state.json").rename(moved / "state2.json")
    assert artifact.describe(moved).digest != first.digest


def test_what_is_sealed_is_read_again(component: Path) -> None:
    sealed = artifact.seal(component)
    assert artifact.read_artifact(component) == sealed
    assert sealed.component == "engine:Engine"
    assert "model/state.safetensors" in sealed.files
    assert artifact.ARTIFACT not in sealed.files
    assert sealed.bytes == sum((component / name).stat().st_size for name in sealed.files)
    assert artifact.verify(component) == sealed


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda c: (c / "state.json").write_text("{ }"), "state.json is changed"),
        (lambda c: (c / "model/state.json").unlink(), "model/state.json is missing"),
        (lambda c: (c / "model/source.py").write_text(""), "model/source.py is no part of it"),
        (lambda c: (c / "model/here").symlink_to("/etc"), "is a link"),
    ],
)
def test_a_change_is_found(component: Path, fault: object, said: str) -> None:
    artifact.seal(component)
    fault(component)  # type: ignore[operator]
    with pytest.raises(ProvenanceError, match=said) as caught:
        artifact.verify(component)
    assert caught.value.exit_code == 3


def test_a_list_that_was_changed_with_its_files_is_found(component: Path) -> None:
    artifact.seal(component)
    (component / "state.json").write_text("{ }")
    sealed = json.loads((component / artifact.ARTIFACT).read_text())
    sealed["files"]["state.json"] = artifact.digests_of(component)["state.json"]
    (component / artifact.ARTIFACT).write_text(json.dumps(sealed))
    with pytest.raises(ProvenanceError, match="does not match its list"):
        artifact.verify(component)


def test_many_changes_are_counted(component: Path) -> None:
    artifact.seal(component)
    for number in range(30):
        (component / f"extra{number}").write_text("")
    with pytest.raises(ProvenanceError, match="and 20 more"):
        artifact.verify(component)


def test_what_is_no_artifact_is_said(component: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no artifact \(no artifact.json\)"):
        artifact.verify(component)
    with pytest.raises(ConfigError, match="no saved component"):
        artifact.seal(tmp_path)
    (component / artifact.ARTIFACT).write_text('{"flambe_artifact": "2.0"}')
    with pytest.raises(ConfigError, match="version 2.0"):
        artifact.verify(component)
    (component / artifact.ARTIFACT).write_text("[")
    with pytest.raises(ConfigError, match="does not describe an artifact"):
        artifact.verify(component)
