"""Folders of mlxp and mlxpy: the config, and the settings file beside it."""

from __future__ import annotations

from typing import Any

import pytest

CONFIG = "seed: null\nmodel:\n  num_layers: 4\noptimizer:\n  lr: 1e-3\n"
# The defaults of mlxpy's first manual.
SETTINGS = """\
logger:
  name: DefaultLogger
  parent_log_dir: ./results
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


@pytest.mark.parametrize("name", ["mlxp.yaml", "mlxpy.yaml"])
def test_the_default_settings_need_no_note(name: str, project: Any) -> None:
    translation = project.translate("mlxp", {"config.yaml": CONFIG, name: SETTINGS})
    assert translation.notes == []
    assert list(translation.files) == ["config.yaml"]
    assert translation.files["config.yaml"].text == (
        f"__run__:\n  __main__: main:main\n  __name__: main\n  __output_dir__: ./results\n  __code__: ..\n{CONFIG}"
    )
    assert project.config("config.yaml") == {"seed": None, "model": {"num_layers": 4}, "optimizer": {"lr": 0.001}}


def test_without_settings_runs_are_in_logs(project: Any) -> None:
    translation = project.translate("mlxp", {"config.yaml": CONFIG})
    assert "__output_dir__: ./logs\n" in translation.files["config.yaml"].text


def test_every_other_setting_has_a_remedy(project: Any) -> None:
    settings = """\
        logger: {name: my.Logger, forced_log_id: 3, extra: 1}
        scheduler: {name: SLURMScheduler, option_cmd: [--gpus=1]}
        use_scheduler: true
        use_logger: false
        use_loger: false
        """
    translation = project.translate("mlxp", {"config.yaml": CONFIG, "mlxp.yaml": settings})
    assert translation.is_complete
    cluster = "Write it in the cluster file that flambe submit takes: flambe cluster --help."
    assert project.notes(translation) == [
        "conf/mlxp.yaml:1:10: logger.name: my.Logger is left out. Name a class of yours below __run__, __log__: {name: package.module.Class}.",
        "conf/mlxp.yaml:1:27: logger.forced_log_id: 3 is left out."
        " Go on with a run of a decorated function by --resume RUN.",
        "conf/mlxp.yaml:1:45: logger.extra is an argument of a class of yours, and is left out."
        " Give it to your function, in its config.",
        f"conf/mlxp.yaml:2:13: scheduler.name: SLURMScheduler is left out. {cluster}",
        f"conf/mlxp.yaml:2:35: scheduler.option_cmd: ['--gpus=1'] is left out. {cluster}",
        "conf/mlxp.yaml:3:1: use_scheduler: true is left out. Submit with flambe submit CONFIG --cluster FILE.",
        "conf/mlxp.yaml:4:1: use_logger: false is left out. Set __log__: false below __run__.",
        "conf/mlxp.yaml:5:1: use_loger is no option of mlxp, and is left out. Did you mean 'use_logger'?",
    ]


def test_the_decorated_function_is_found(project: Any) -> None:
    (project.root / "train.py").write_text(
        "import mlxpy as expy\n\n\n@expy.launch(config_path='./conf')\ndef my_task(ctx: expy.Context) -> None:\n    pass\n"
    )
    translation = project.translate("mlxp", {"config.yaml": CONFIG}, main=None)
    assert "__main__: train:my_task" in translation.files["config.yaml"].text


def test_groups_are_those_of_hydra(project: Any) -> None:
    files = {"config.yaml": "defaults: [model: big]\nx: ${model.layers}\n", "model/big.yaml": "layers: 9\n"}
    project.translate("mlxp", files)
    assert project.config("config.yaml") == {"model": {"layers": 9}, "x": 9}
