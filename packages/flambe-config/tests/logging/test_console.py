"""What of the log is shown, what is kept, and what of it nobody may read."""

import logging
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest

from flambe.build.trust import import_extensions
from flambe.cli.console import set_level
from flambe.logging.buffer import current_buffer
from flambe.logging.console import end_global_logging, setup_global_logging
from flambe.logging.datatypes import ScalarT
from flambe.logging.handler.tensorboard import TensorboardXHandler
from flambe.logging.log import log, log_image
from flambe.logging.log_file import LogFile, default_log_file
from flambe.logging.trial import TrialLogging
from flambe.record.artifacts import Artifacts
from flambe.record.metrics import read_metrics
from flambe.runner.environment import activate


@pytest.fixture
def kept(tmp_path):
    yield tmp_path / "logs" / "log.log"
    end_global_logging()
    set_level()


def say_all():
    for name in ("flambe.some", "__main__", "library"):
        for level in (logging.DEBUG, logging.INFO, logging.WARNING):
            logging.getLogger(name).log(level, "%s %s", name, logging.getLevelName(level))


def shown(capfd):
    return [line.partition(" | ")[2] for line in capfd.readouterr().err.splitlines()]


def test_ours_from_info_and_others_from_warning_are_shown_and_the_rest_is_kept(kept, capfd):
    setup_global_logging(file=kept)
    say_all()
    assert shown(capfd) == [
        "flambe.some INFO", "flambe.some WARNING", "__main__ INFO", "__main__ WARNING", "library WARNING"
    ]  # fmt: skip
    lines = [line.split(" | ") for line in kept.read_text().splitlines()]
    assert [line[-1] for line in lines] == [
        f"{n} {lv}" for n in ("flambe.some", "__main__", "library") for lv in ("INFO", "WARNING")
    ]
    assert lines[0][1:3] == ["INFO", "flambe.some"]


def test_verbose_shows_and_keeps_everything_and_quiet_shows_errors(kept, capfd):
    set_level(verbose=True)
    setup_global_logging(file=kept)
    say_all()
    assert len(shown(capfd)) == len(kept.read_text().splitlines()) == 9
    set_level(quiet=True)
    setup_global_logging(file=kept)
    say_all()
    logging.getLogger("library").error("it broke")
    assert shown(capfd) == ["it broke"]
    assert len(kept.read_text().splitlines()) == 9 + 7


class Unit:
    """What runs, as far as the log asks."""

    id = "train/lr=0.1"
    is_echoed = False
    unit = property(lambda self: self)


def test_of_a_running_unit_errors_are_shown_and_everything_is_kept_by_its_name(kept, capfd):
    setup_global_logging(file=kept)
    activate(Unit())
    try:
        logging.getLogger("flambe.run").info("step 1")
        logging.getLogger("mine").error("it broke")
        Unit.is_echoed = True  # its own log is copied to the terminal, and has it
        logging.getLogger("mine").error("again")
    finally:
        Unit.is_echoed = False
        activate(None)
    assert shown(capfd) == ["train/lr=0.1: it broke"]
    said = [line.rpartition(" | ")[2] for line in kept.read_text().splitlines()]
    assert said == ["train/lr=0.1: step 1", "train/lr=0.1: it broke", "train/lr=0.1: again"]


def test_a_level_may_be_given_and_a_folder_that_cannot_be_written_is_no_failure(tmp_path, kept, capfd):
    (tmp_path / "logs").write_text("in the way")
    setup_global_logging(logging.DEBUG, file=kept)
    say_all()
    assert len(shown(capfd)) == 7


def test_secrets_are_in_neither(kept, capfd, monkeypatch):
    monkeypatch.setenv("MY_API_TOKEN", "tok-0123456789abc")
    monkeypatch.setenv("PLAIN_KEY", "default")
    setup_global_logging(file=kept)
    try:
        raise RuntimeError("refused tok-0123456789abc")
    except RuntimeError:
        logging.getLogger("flambe").exception("default with %s", "tok-0123456789abc")
    for text in (capfd.readouterr().err, kept.read_text()):
        assert "tok-0123456789abc" not in text
        assert "default with [secret]" in text
        assert "RuntimeError: refused [secret]" in text


def test_the_file_of_the_user_is_where_the_platform_has_such_files(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_log_file().name == "log.log"
    if sys.platform == "linux":
        assert default_log_file() == tmp_path / "flambe" / "log" / "log.log"


def emit(handler, text):
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, text, None, None))


def test_a_full_file_is_moved_on_and_the_oldest_goes(tmp_path):
    handler = LogFile(tmp_path / "log.log", largest=100, backups=2)
    for number in range(8):
        emit(handler, f"{number}" * 60)
    handler.close()
    found = {path.name: path.read_text().split() for path in tmp_path.glob("log.log*")}
    found.pop("log.log.lock")
    assert {name: [line[0] for line in lines] for name, lines in found.items()} == {
        "log.log": ["6", "7"],
        "log.log.1": ["4", "5"],
        "log.log.2": ["2", "3"],
    }


def test_several_processes_lose_no_line_when_it_is_moved_on(tmp_path):
    code = textwrap.dedent(
        """
        import logging, sys
        from pathlib import Path
        from flambe.logging.log_file import LogFile
        handler = LogFile(Path(sys.argv[1]), largest=500, backups=50)
        for number in range(200):
            handler.emit(logging.LogRecord("x", 20, "", 0, f"{sys.argv[2]} {number}", None, None))
        """
    )
    path = tmp_path / "log.log"
    children = [subprocess.Popen([sys.executable, "-c", code, str(path), str(who)]) for who in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    lines = [line for file in tmp_path.glob("log.log*") for line in file.read_text().splitlines()]
    assert sorted(lines) == sorted(f"{who} {number}" for who in range(3) for number in range(200))
    assert len(list(tmp_path.glob("log.log.[0-9]*"))) >= 2


def test_a_file_that_somebody_took_away_is_made_again(tmp_path):
    handler = LogFile(tmp_path / "log.log")
    emit(handler, "one")
    (tmp_path / "log.log").unlink()
    emit(handler, "two")
    handler.close()
    assert (tmp_path / "log.log").read_text() == "two\n"


def test_importing_an_extension_changes_no_handler(tmp_path, kept, capfd):
    (tmp_path / "loud_extension.py").write_text(
        "import logging, logging.config\n"
        "logging.basicConfig(level=logging.DEBUG, force=True)\n"
        "logging.config.dictConfig({'version': 1, 'root': {'level': 'ERROR'}})\n"
        "logging.disable(logging.CRITICAL)\n"
    )
    setup_global_logging(file=kept)
    before = list(logging.getLogger().handlers)
    logger = logging.getLogger("flambe.some")
    import_extensions({"loud_extension": str(tmp_path)})
    assert logging.getLogger().handlers == before
    logger.info("still heard")
    assert shown(capfd) == ["still heard"]
    assert "still heard" in kept.read_text()


def test_a_trial_of_ones_own_has_a_console_file_metrics_and_artifacts(tmp_path, capfd):
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    with TrialLogging(tmp_path / "trial", console_prefix="50% done", hyper_params={"lr": 0.1}):
        log("loss", 0.5, 1)
        log_image("x", [[0.0, 1.0]], 1)
        logging.getLogger("some").info("kept")
        logging.getLogger("some").error("kept and shown")
        logging.getLogger("some").info(ScalarT("by/record", 2, 2))
        warnings.warn("warned", stacklevel=1)
    assert (root.level, list(root.handlers)) == before
    assert current_buffer() is None
    assert capfd.readouterr().err == "50% done: kept and shown\n"
    text = (tmp_path / "trial/console.out").read_text()
    assert "some | kept\n" in text
    assert "UserWarning: warned" in text
    lines = list(read_metrics(tmp_path / "trial/metrics/metrics.jsonl"))
    assert [(line["step"], line.get("loss"), line.get("by/record")) for line in lines] == [(1, 0.5, None), (2, None, 2)]
    assert [entry.name for entry in Artifacts(tmp_path / "trial").entries()] == ["x/1.png"]


def test_a_handler_writes_events_of_records_alone(tmp_path):
    pytest.importorskip("flambe.learn")
    handler = TensorboardXHandler(tmp_path)
    logger = logging.getLogger("of.mine")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        logger.info(ScalarT("loss", 0.5, 1))
        logger.info("words")
    finally:
        logger.removeHandler(handler)
        handler.close()
    (file,) = handler.writers[str(tmp_path)]
    assert b"loss" in file.read_bytes()
    assert b"words" not in file.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["tensorboard"]


def test_a_command_keeps_its_log_in_the_folder_of_the_user(tmp_path):
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    code = (
        "from flambe.logging import setup_global_logging as s; import logging; s(); logging.getLogger('x').info('kept')"
    )
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    (file,) = Path(tmp_path).rglob("log.log")
    assert file.read_text().endswith("kept\n")
