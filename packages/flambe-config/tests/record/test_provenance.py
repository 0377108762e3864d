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
