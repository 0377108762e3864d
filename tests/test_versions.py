"""One sample of each released version of the documents is kept, and has to be readable for ever."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import flambe
from flambe.errors import ConfigError
from flambe.export.artifact import verify
from flambe.reading.reader import Reader
from flambe.record.run import RunRecord, read_record
from flambe.spec.codec import load_spec
from flambe.spec.digest import spec_digest

DATA = Path(__file__).parent / "data"
VERSIONS = [pytest.param(folder, id=folder.name) for folder in sorted(DATA.iterdir())]


@pytest.mark.parametrize("sample", VERSIONS)
def test_a_spec(sample: Path) -> None:
    spec = load_spec((sample / "spec.json").read_bytes())
    assert [stage.name for stage in spec.stages] == ["words", "group"]
    record = read_record(sample / "run" / "run.json", RunRecord)
    assert spec_digest(spec) == record.spec_digest, "an unfinished run of that version could not be continued"


@pytest.mark.parametrize("sample", VERSIONS)
def test_a_run(sample: Path) -> None:
    reader = Reader(sample / "run")
    (row,) = reader.rows()
    assert (row["name"], row["status"], row["done"]) == ("sample", "COMPLETE", 3)
    variants = {unit["variant"]: unit["params.group.twice"] for unit in reader.unit_rows("stage == 'group'")}
    assert variants == {"twice=1": 1, "twice=2": 2}
    assert not reader.problems


@pytest.mark.parametrize("sample", VERSIONS)
def test_a_component(sample: Path) -> None:
    group = flambe.load(sample / "run/stages/group/twice=2/checkpoint")
    assert group.twice == 2
    assert group.words.names == ["neg", "pos"]


@pytest.mark.parametrize("sample", VERSIONS)
def test_an_artifact(sample: Path) -> None:
    assert verify(sample / "artifact").component == "flambe.export.exporter:Exporter"
    assert flambe.load(sample / "artifact").words.threshold == 0.5


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("spec.json", "flambe_spec"),
        ("run/run.json", "flambe_record"),
        ("artifact/manifest.json", "flambe_component"),
        ("artifact/artifact.json", "flambe_artifact"),
    ],
)
def test_other_versions(tmp_path: Path, file: str, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(DATA / "1.0", tmp_path / "x")
    document = json.loads((tmp_path / "x" / file).read_bytes())
    readers = {
        "flambe_spec": lambda: load_spec((tmp_path / "x" / file).read_bytes()),
        "flambe_record": lambda: read_record(tmp_path / "x" / file, RunRecord),
        "flambe_component": lambda: flambe.load(tmp_path / "x" / "artifact", verify=False),
        "flambe_artifact": lambda: verify(tmp_path / "x" / "artifact"),
    }
    document[key] = "2.0"
    (tmp_path / "x" / file).write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=r"version 2\.0, this program reads version 1\.x"):
        readers[key]()
    document[key] = "1.9"
    (tmp_path / "x" / file).write_text(json.dumps(document))
    readers[key]()
    assert re.search(r"is of version 1\.9, newer than 1\.\d", capsys.readouterr().err)
