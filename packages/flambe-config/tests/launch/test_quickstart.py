"""The documented example of mlxpy, with what its page prints wrongly put right, and what it leaves behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from flambe.reading.reader import Reader

CONFIG = """\
seed: null
model:
  num_layers: 4
optimizer:
  lr: 1e-3
"""
PRINTS = """\
print(ctx.config)
print()
print("The logger object is an instance of:")
print(type(ctx.logger))
"""
LOGGER = "\nThe logger object is an instance of:\n<class 'flambe.record.logger.Logger'>\nreturned None\n"


def shown(layers: str, rate: str) -> str:
    return f"seed: null\nmodel:\n  num_layers: {layers}\noptimizer:\n  lr: {rate}\n"


def files(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


def test_the_page_as_it_is_written(project: Any) -> None:
    project.main(PRINTS)
    assert project.start().stdout == shown("4", "0.001") + LOGGER
    assert project.start("+optimizer.lr=10.", "+model.num_layers=6").stdout == shown("6", "10.0") + LOGGER
    done = project.start("+mlxpy.use_logger=false")
    assert done.stdout == shown("4", "0.001") + LOGGER.replace("flambe.record.logger.Logger", "NoneType")
    assert done.stderr == "note: mlxpy.use_logger: write --no-log, or __run__.__log__=false\n"
    runs = project.folder / "logs/my_task"
    assert sorted(path.name for path in runs.iterdir()) == [".finished", "exp.0", "exp.1"]
    reader = Reader(project.folder, index=project.folder / "index")
    assert reader.filter("")["config.model.num_layers"] == [4, 6]
    assert sum(catalog.read for catalog in reader._catalogs) == 0  # it was told by the list
    shutil.rmtree(project.folder / "index")
    assert files(runs / "exp.1") == {
        "config.yml", "frozen_requirements.txt", "ledger.jsonl", "main.py", "outputs.log", "raw_config.yml", "run.json",
        "spec.json", "stages/main/0/exports.json", "stages/main/0/outputs.log", "stages/main/0/run.json",
    }  # fmt: skip
    assert files(project.folder) - {f"logs/my_task/{name}" for name in files(runs)} == {
        "main.py",
        "configs/config.yaml",
    }
    assert shown("6", "10.0") in (runs / "exp.1/outputs.log").read_text()
    # Its config runs without the program that calls it, too.
    settings = ["+__run__.__main__=main:my_task", "+__run__.__name__=my_task", "+__run__.__output_dir__=logs"]
    again = ["run", "configs/config.yaml", *settings, "optimizer.lr=10.", "model.num_layers=6"]
    subprocess.run([sys.executable, "-m", "flambe.cli.umbrella", *again], cwd=project.folder, check=True)
    assert (runs / "exp.2/config.yml").read_bytes() == (runs / "exp.1/config.yml").read_bytes()


def test_the_config_is_made_where_there_is_none(project: Any) -> None:
    project.main(PRINTS, config=None)
    # From another folder: the config's is beside the decorated file, and so is that of the runs.
    elsewhere = project.folder / "elsewhere"
    elsewhere.mkdir()
    assert project.start(cwd=elsewhere).stdout == "seed: null\n" + LOGGER
    assert files(project.folder / "configs") == {"config.yaml"}
    assert (project.folder / "configs/config.yaml").read_text() == "seed: null\n"
    assert project.record().status == "COMPLETE"
    assert files(elsewhere) == set()


def test_configs_with_nothing_in_them(project: Any) -> None:
    project.main("print(dict(ctx.config))", config="# nothing yet\n")
    assert project.start().stdout == "{}\nreturned None\n"
    project.write("configs/config.yaml", CONFIG + "  lr: 2\n")
    assert "duplicate key 'lr'" in project.start(code=2).stderr
