"""A plain function that uses torch, run by the floor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flambe.record.run import RunRecord, read_record

CODE = "import torch\n\n\ndef main(name, config):\n    return torch.rand(1).item()\n"
CONFIG = "__run__: {__main__: 'drawing:main', __output_dir__: out, __name__: 'd/{seed}'}\nseed: 5\n"


@pytest.mark.slow
def test_torch_is_seeded_where_the_function_imports_it(tmp_path: Path) -> None:
    (tmp_path / "drawing.py").write_text(CODE)
    (tmp_path / "d.yml").write_text(CONFIG)
    drawn = []
    for words in ([], [], ["seed=6"]):
        command = [str(Path(sys.executable).parent / "flambe"), "run", "d.yml", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        record = read_record(Path(json.loads(done.stdout.splitlines()[-1])["run"]) / "run.json", RunRecord)
        drawn.append(record.result)
    assert drawn[0] == drawn[1] != drawn[2]
