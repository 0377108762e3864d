"""What a run directory says about where it came from."""

from flambe.compile import compile_text
from flambe.record.provenance import installed_requirements, spec_to_yaml
from flambe.spec.digest import spec_digest

EXPERIMENT = """
toyext: {folder}
---
!Experiment
name: toy
seed: 7
max_failures: 3
stop_on_failure: true
merge_plot: false
devices: {{cpu: 2}}
save_path: {folder}/out
pipeline:
  words: !toyext.Words
    n: 3
  walk: !toyext.Walk
    words: !@ words
    steps: !g [2, 3]
    size: !@ words.size
reduce:
  walk: 1
"""
MODULE = """
class Words:
    def __init__(self, n): ...
class Walk:
    def __init__(self, words, steps, size): ...
    def metric(self): ...
"""


def test_the_resolved_config_compiles_to_an_equal_spec(tmp_path):
    package = tmp_path / "toyext"
    package.mkdir()
    (package / "__init__.py").write_text(MODULE)
    spec = compile_text(EXPERIMENT.format(folder=tmp_path), name="toy")
    again = compile_text(spec_to_yaml(spec), name="other")
    assert spec_digest(again) == spec_digest(spec)
    assert spec_to_yaml(again) == spec_to_yaml(spec)


def test_what_is_installed_is_listed_once_and_sorted():
    lines = list(installed_requirements())
    assert any(line.startswith("msgspec==") for line in lines)
    assert len({line.partition("==")[0].lower() for line in lines}) == len(lines)


def test_requirements_are_those_that_importlib_knows(tmp_path, monkeypatch):
    pages = {
        "plain-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: plain\nVersion: 1.0\n\nName: of something else\n",
        "windows-2.0.dist-info/METADATA": "Metadata-Version: 2.1\r\nName: Win_Dows\r\nVersion: 2.0\r\n\r\nVersion: 9\r\n",
        "egg.egg-info/PKG-INFO": "Metadata-Version: 1.0\nName: egg\nVersion: 0.3\n",
        "torn.dist-info/METADATA": "",
    }
    for name, text in pages.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(text.encode())
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert list(installed_requirements()) == ["egg==0.3", "plain==1.0", "Win_Dows==2.0"]
