"""Folders of mlxp and expyrun, laid out as these tools do, are read as they are."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

import flambe
from flambe.errors import ProvenanceError

# Other tools record other columns: a question about one that they lack has no answer.
pytestmark = pytest.mark.filterwarnings("ignore:query.* unknown column")

INFO = """\
status: {status}
current_file_path: /home/me/main.py
hostname: {host}
process_id: {pid}
start_date: 20/11/2026
start_time: '10:04:57'
end_date: {end}
end_time: {end_time}
work_dir: /home/me
logger:
  log_id: {number}
  log_dir: /home/me/logs/{number}
scheduler:
  scheduler_job_id: '77'
version_manager:
  commit_hash: abc
"""


def mlxp(
    home: Path, number: int, *, lr: float = 0.1, status: str = "COMPLETE", host: str = "far", pid: int = 1
) -> Path:
    path = home / "logs" / str(number)
    for folder in ("metadata", "metrics/.keys", "artifacts/.keys", "artifacts/pickle/sub"):
        (path / folder).mkdir(parents=True)
    ended = status in ("COMPLETE", "FAILED")
    info = INFO.format(
        status=status,
        number=number,
        host=host,
        pid=pid,
        end="20/11/2026" if ended else "''",
        end_time="'10:05:57'" if ended else "''",
    )
    (path / "metadata/info.yaml").write_text(info)
    (path / "metadata/config.yaml").write_text(
        f"seed: null\nlr: {lr}\nmodel:\n  units: 3\n  name: METRIC\n  small: 1e-3\n"
    )
    (path / "metrics/train.json").write_text(
        "".join(json.dumps({"loss": lr / (step + 1), "it": step}) + "\n" for step in range(3))
    )
    (path / "metrics/.keys/train.yaml").write_text("loss: ''\n")
    (path / "artifacts/pickle/sub/last.pkl").write_bytes(pickle.dumps({"a": 1}))
    (path / "artifacts/.keys/custom_types.yaml").write_text("!!python/object/apply:os.system ['touch pwned']\n")
    return path


def expyrun(home: Path, index: int, lr: str = "0.1") -> Path:
    path = home / "out" / "first" / "m" / f"exp.{index}"
    (path / "my_code").mkdir(parents=True)
    run = f"__run__:\n  __code__: {path}\n  __main__: my_code.first:main\n  __name__: first/m\n  __output_dir__: {home}/out\n"
    (path / "config.yml").write_text(f"{run}model:\n  layers:\n  - 1\n  name: m\ntraining:\n  lr: {lr}\n")
    (path / "raw_config.yml").write_text(f"{run}training:\n  lr: {lr}\n")
    (path / "requirements.txt").write_text("numpy==1.26\n")
    (path / "outputs.log").write_text("hello\n")
    return path


def test_a_run_of_mlxp_is_a_row(tmp_path: Path) -> None:
    path = mlxp(tmp_path, 7)
    row = flambe.Reader(tmp_path, index=None).filter()[0]
    assert row["run"] == str(path)
    assert (row["name"], row["index"], row["status"], row["kind"]) == ("logs", 7, "COMPLETE", "function")
    assert (row["config.lr"], row["config.model.units"], row["config.model.name"], row["config.model.small"]) == (
        0.1,
        3,
        "METRIC",
        0.001,
    )
    assert row["config.seed"] is None
    assert row["train.loss"] == [0.1, 0.05, pytest.approx(0.1 / 3)]
    assert row["info.hostname"] == row["info.host.name"] == "far"
    assert row["info.scheduler.scheduler_job_id"] == "77"
    assert row["info.version_manager.commit_hash"] == row["info.code.git.commit"] == "abc"
    assert row["info.logger.log_id"] == 7
    assert row["info.logger.log_dir"] == str(path)  # where it is now
    assert row["info.current_file_path"] == "/home/me/main.py"
    assert row["seconds"] == 60.0
    assert "id" not in row
    pickled = row["artifact.pickle."]["sub/last.pkl"]
    with pytest.raises(ProvenanceError):
        pickled.load()
    assert pickled.load(allow_pickle=True) == {"a": 1}
    assert not Path("pwned").exists()


def test_questions_of_mlxp_have_the_answers_of_mlxp(tmp_path: Path) -> None:
    for number, lr in enumerate((1.0, 0.1, 0.01), start=1):
        mlxp(tmp_path, number, lr=lr, status="FAILED" if number == 3 else "COMPLETE")
    (tmp_path / "logs" / "notes").mkdir()
    reader = flambe.Reader(tmp_path / "logs", index=None)
    for query, numbers in {
        "": [1, 2, 3],
        "info.status == 'COMPLETE' & config.lr <= 0.1": [2],
        "config.lr in [1.0, .01]": [1, 3],
        "~config.lr == 1.0 & config.model.units == 3": [2, 3],
        "config.lr == 1 | info.status == 'FAILED'": [1, 3],
        "(config.lr < 1.) & ~(info.logger.log_id > 2)": [2],
        "config.nowhere != 1": [],
        "~config.nowhere != 1": [1, 2, 3],
        'config.model.name == "METRIC"': [1, 2, 3],
        "info.logger.log_id >= 2": [2, 3],
        "config.lr < 'x'": [],
    }.items():
        assert reader.filter(query)["index"] == numbers, query


def test_what_mlxp_itself_has_answered(tmp_path: Path) -> None:
    """Runs that mlxp 1.0.4 has written, and what its reader said to random questions about them."""
    recorded = json.loads(Path(__file__).with_name("mlxp_answers.json").read_text())
    for number, texts in recorded["runs"].items():
        (tmp_path / number / "metadata").mkdir(parents=True)
        for name, text in texts.items():
            (tmp_path / number / "metadata" / f"{name}.yaml").write_text(text)
    reader = flambe.Reader(tmp_path, index=None, refresh=False)
    ours = {query: [row["index"] for row in reader.filter(query)] for query in recorded["answers"]}
    assert len(ours) == 250
    assert ours == recorded["answers"]


def test_states_of_mlxp(tmp_path: Path) -> None:
    import socket

    mlxp(tmp_path, 1, status="STARTING")
    mlxp(tmp_path, 2, status="RUNNING")
    mlxp(tmp_path, 3, status="RUNNING", host=socket.gethostname(), pid=(1 << 22) + 1)
    reader = flambe.Reader(tmp_path, index=None)
    assert reader.filter()["status"] == ["QUEUED", "RUNNING", "LOST"]
    assert reader.filter("info.status == 'STARTING'")["index"] == [1]


def test_lines_that_mlxp_has_torn_are_told_and_the_others_are_read(tmp_path: Path) -> None:
    path = mlxp(tmp_path, 1)
    (path / "metrics/train.json").write_text('{"loss": NaN}\n{"loss": {"loss": 2}\n{"loss": 3}\n{"los')
    reader = flambe.Reader(tmp_path, index=None)
    assert reader.filter("last(train.loss) == 3 and len(train.loss) == 2")["index"] == [1]
    assert [problem.rpartition("/")[2] for problem in reader.problems] == ["train.json:2 is no metric line"]


def test_a_run_of_expyrun_is_a_row(tmp_path: Path) -> None:
    path = expyrun(tmp_path, 3, lr="1e-3")
    row = flambe.Reader(tmp_path, index=None).filter("config.training.lr == 1e-3")[0]
    assert (row["run"], row["name"], row["index"], row["info.entry"]) == (str(path), "first/m", 3, "my_code.first:main")
    assert row["config.model.layers"] == [1]
    assert "status" not in row  # it tells nobody how it went
    assert "config.__run__.__main__" not in row
    reader = flambe.Reader(tmp_path, index=None)
    assert reader.filter("status is null")["index"] == [3]
    assert reader.filter("info.status == 'COMPLETE'") == reader.filter("info.status == 'FAILED'")


def test_an_unfinished_run_of_ours_is_none_of_expyrun(tmp_path: Path) -> None:
    path = expyrun(tmp_path, 0)
    (path / "config.yml").write_text("__resolved__: true\n__run__:\n  __main__: m:f\n")
    (tmp_path / "exp.5").mkdir()
    (tmp_path / "exp.5" / "config.yml").write_text("model: 1\n")
    assert len(flambe.Reader(tmp_path, index=None)) == 0


def test_all_kinds_stand_in_one_table_and_in_the_index(tmp_path: Path) -> None:
    home = tmp_path / "all"
    mlxp(home, 1)
    expyrun(home, 0)
    for path in (home / "logs/1/metadata/info.yaml", home / "out/first/m/exp.0/config.yml"):
        os.utime(path, (1_700_000_000, 1_700_000_000))  # what is seconds old is read again
    for read in (2, 0):
        reader = flambe.Reader(home, index=tmp_path / "cache")
        assert [row["info.tool.name"] for row in reader.filter()] == ["mlxp", "expyrun"]
        assert reader.filter("train.loss < 1")["index"] == [1]
        assert sum(catalog.read for catalog in reader._catalogs) == read
    (home / "logs/1/metadata/config.yaml").write_text("lr: 5\n")
    (home / "logs/1/metadata/info.yaml").write_text("status: FAILED\n")
    assert flambe.Reader(home, index=tmp_path / "cache").filter("config.lr == 5 & info.status == 'FAILED'")[
        "index"
    ] == [1]


def test_what_is_broken_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    mlxp(tmp_path, 1)
    (mlxp(tmp_path, 2) / "metadata/info.yaml").write_text("{[")
    (mlxp(tmp_path, 3) / "metadata/config.yaml").write_text("- a list\n")
    (mlxp(tmp_path, 4) / "metadata/info.yaml").unlink()
    (expyrun(tmp_path, 0) / "config.yml").write_text("__run__: 3\n")
    reader = flambe.Reader(tmp_path, index=None)
    assert reader.filter()["index"] == [1, 4]
    assert len(reader.problems) == 3
    assert reader.filter("index == 4")["status"] == ["QUEUED"]


def test_runs_of_mlxp_come_in_the_order_of_their_numbers_and_artifacts_are_opened_when_they_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (10, 9, 2, 1):
        mlxp(tmp_path, number)
    opened: list[str] = []
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *rest, **more: (opened.append(str(path)), real(path, *rest, **more))[1]
    )
    reader = flambe.Reader(tmp_path, index=None)
    runs = reader.filter("has(artifact.pickle.sub/last.pkl)")
    assert runs["index"] == [1, 2, 9, 10]
    assert runs[:2]["info.logger.log_id"] == [1, 2]
    assert {name: value for name, value in runs[0].items() if name.startswith("info.")}["info.status"] == "COMPLETE"
    files = runs["artifact.pickle."]
    assert [list(found) for found in files] == [["sub/last.pkl"]] * 4
    assert any(path.endswith("info.yaml") for path in opened)
    assert not [path for path in opened if path.endswith((".pkl", ".keys"))]
    assert files[0]["sub/last.pkl"].load(allow_pickle=True) == {"a": 1}
