"""``mlxpy.yaml`` and ``mlxp.yaml``: what they say is honoured, and what they cannot say is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from flambe.compile.mlxp_settings import read_settings
from flambe.errors import ConfigFaults

DEFAULTS = """\
logger:
  name: DefaultLogger
  parent_log_dir: ./logs
  forced_log_id: -1
  log_streams_to_file: false
scheduler:
  name: Scheduler
  shell_path: ''
  shell_config_cmd: ''
  env_cmd: ''
  cleanup_cmd: ''
  option_cmd: []
version_manager:
  name: GitVM
  parent_target_work_dir: ./.workdir
  skip_requirements: false
  interactive_mode: true
use_version_manager: false
use_scheduler: false
use_logger: true
"""


def read(
    folder: Path, text: str | None, *overrides: str, name: str = "mlxpy.yaml"
) -> tuple[dict, int | None, list[str], list[str]]:
    if text is not None:
        (folder / name).write_text(text)
    settings, rest = read_settings(str(folder), "/base", overrides)
    return settings.run, settings.forced, settings.notes, rest


def test_the_settings_that_mlxpy_wrote_change_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, None) == ({}, None, [], [])
    assert read(tmp_path, DEFAULTS) == ({"output_dir": "/base/logs"}, None, [], [])
    later = "use_logger: true\nresolve: true\nas_ConfigDict: true\ninteractive_mode: true\nversion_manager: {name: mlxp.GitVM, compute_requirements: false}\n"
    assert read(tmp_path, later, name="mlxp.yaml")[0] == {"output_dir": "/base/logs"}


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("logger: {parent_log_dir: ../new}", {"output_dir": "/new"}), ("logger: {parent_log_dir: /new}", {"output_dir": "/new"}),
        ("logger: {log_streams_to_file: true}", {"streams": "file"}), ("use_logger: false", {"log": False}),
        ("use_version_manager: true", {"snapshot": "git"}), ("version_manager: {skip_requirements: true}", {"requirements": "none"}),
        ("logger: {name: my.Log, rows: 3, parent_log_dir: ./x}", {"output_dir": "/base/x", "log": {"name": "my.Log", "rows": 3}}),
        ("version_manager: {name: my.Copies, to: x}\nuse_version_manager: true", {"snapshot": {"name": "my.Copies", "to": "x"}}),
        ("version_manager: {name: my.Copies, to: x}", {}), ("# nothing", {}), ("null", {}),
    ],
)  # fmt: skip
def test_what_an_option_is_now(tmp_path: Path, text: str, run: dict) -> None:
    assert read(tmp_path, text + "\n")[0] == run


def test_overrides(tmp_path: Path) -> None:
    words = [
        "lr=1",
        "+mlxpy.use_logger=false",
        "mlxp.logger.parent_log_dir=./new",
        "--mlxpy.logger.forced_log_id",
        "3",
        "seed=2",
    ]
    run, forced, notes, rest = read(tmp_path, DEFAULTS, *words)
    assert (run, forced, rest) == ({"output_dir": "/base/new", "log": False}, 3, ["lr=1", "seed=2"])
    assert notes == [
        "use_logger: write --no-log, or __run__.__log__=false",
        "logger.parent_log_dir: write --output-dir DIR, or __run__.__output_dir__=DIR",
        "logger.forced_log_id: write --resume RUN for one that is there, --exp N for a new one",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("use_loger: true", "mlxpy.yaml:1:1: use_loger is no option of mlxpy. Did you mean 'use_logger'?"),
        ("logger:\n  parent_dir: x", "mlxpy.yaml:2:3: logger.parent_dir is no option of mlxpy. Did you mean 'parent_log_dir'?"),
        ("logger: false", "mlxpy.yaml:1:1: logger is False; expected a mapping"),
        ("use_logger: 3", "mlxpy.yaml:1:1: use_logger is 3; expected true or false"),
        ("logger: {forced_log_id: x}", "mlxpy.yaml:1:10: logger.forced_log_id is 'x'; expected an integer"),
        ("use_scheduler: true", "mlxpy.yaml:1:1: use_scheduler is true. Name the cluster when you submit: flambe submit CONFIG --cluster FILE."),
        ("[1]", "mlxpy.yaml:1:1: the settings are a list; expected a mapping"),
    ],
)  # fmt: skip
def test_faults_name_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigFaults) as caught:
        read(tmp_path, text + "\n")
    assert str(caught.value) == said


def test_all_faults_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigFaults) as caught:
        read(tmp_path, "use_loger: true\nlogger: {forced_log_id: x}\n", "mlxpy.bad=1")
    assert len(caught.value.faults) == 3
    assert "override 'mlxpy.bad=1': bad is no option of mlxpy" in str(caught.value)
