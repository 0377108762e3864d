"""The door of every command, by real processes: exit codes, closed pipes, descriptors that are not there."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import click
import pytest

from flambe.cli.console import NORMAL, QUIET, VERBOSE, say, set_level
from flambe.cli.door import Group, enter, standing_options

PROGRAM = textwrap.dedent(
    """
    import os, sys, time
    import click
    from flambe.cli.door import enter
    from flambe.cli.streams import emit, read_text
    from flambe.cli.console import say
    from flambe.errors import ConfigError, FlambeError, MachineError, ProvenanceError, UsageError

    @click.command()
    @click.argument("what")
    @click.option("--number", type=int)
    def command(what, number):
        print("a library prints")
        if what == "data":
            for n in range(number or 1):
                emit(f"line {n}")
        elif what == "number":
            return number
        elif what == "words":
            for n in range(number or 1):
                say(f"word {n}")
            open(os.environ["MARK"], "w").close()
        elif what == "wait":
            emit("ready")
            time.sleep(60)
        elif what == "read":
            emit(read_text("-", what="spec"))
        elif what == "child":
            os.system("echo from a child")
            emit("data")
        else:
            raise {"config": ConfigError, "usage": UsageError, "flambe": FlambeError, "provenance": ProvenanceError,
                   "machine": MachineError, "broken": ZeroDivisionError}[what]("it went wrong")

    sys.exit(enter(command, "toy"))
    """
)


def toy(*words, **more):
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | more
    return subprocess.run([sys.executable, "-c", PROGRAM, *words], text=True, timeout=60, **given)


def shell(line, **environment):
    """Run a line of sh in which $TOY is the command."""
    return subprocess.run(
        ["bash", "-c", line],
        env={**os.environ, "PY": sys.executable, "TOY": PROGRAM, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("what", "code"),
    [("flambe", 1), ("config", 2), ("usage", 2), ("provenance", 3), ("machine", 4), ("broken", 1)],
)
def test_each_kind_of_error_has_its_exit_code(what, code):
    done = toy(what)
    assert (done.returncode, done.stdout) == (code, "")
    if what != "broken":
        assert done.stderr == "a library prints\ntoy: error: it went wrong\n"


def test_words_that_click_refuses_are_usage(tmp_path):
    for words in ((), ("data", "--number", "x"), ("data", "--unknown"), ("data", "more")):
        done = toy(*words)
        assert done.returncode == 2
        assert done.stdout == ""
        assert "Usage: toy" in done.stderr
        assert "toy: error: " in done.stderr


def test_a_command_may_choose_its_code():
    assert toy("number", "--number", "3").returncode == 3
    assert toy("number", "--number", "0").returncode == 0
    assert toy("--help").returncode == 0
    assert "Usage: toy" in toy("--help").stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(number, code):
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        _, words = process.communicate(timeout=60)
    # By the signal itself, or by a door that says so: a shell sees the same number.
    assert process.returncode in (code, -number)
    assert b"Traceback" not in words


def test_data_is_all_there_is_on_stdout():
    done = toy("child")
    assert done.stdout == "data\n"
    assert sorted(done.stderr.split("\n")) == ["", "a library prints", "from a child"]


def test_a_reader_that_goes_away_is_no_failure():
    done = shell('set -o pipefail; "$PY" -c "$TOY" data --number 100000 | head -n 1')
    assert (done.returncode, done.stdout) == (0, "line 0\n")
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_a_reader_of_words_that_goes_away_stops_nothing(tmp_path):
    mark = tmp_path / "mark"
    done = shell('set -o pipefail; "$PY" -c "$TOY" words --number 100000 2>&1 >/dev/null | head -n 1', MARK=str(mark))
    assert mark.exists()
    assert done.returncode == 0


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_no_crash(closed, tmp_path):
    done = shell(f'"$PY" -c "$TOY" data {closed}')
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert done.stdout == ("" if ">&-" in closed.replace("2>&-", "") else "line 0\n")
    assert shell(f'"$PY" -c "$TOY" config {closed}').returncode == 2
    # Nothing that is opened later may land on the place of a standard stream.
    done = shell(f'"$PY" -c "$TOY" child {closed}')
    assert done.returncode == 0


def test_empty_and_closed_stdin():
    done = toy("read")
    assert done.returncode == 2
    assert "stdin is empty, a spec was expected" in done.stderr
    done = shell('"$PY" -c "$TOY" read <&-')
    assert done.returncode == 2
    assert "no spec came on stdin" in done.stderr or "stdin is empty" in done.stderr
    done = subprocess.run([sys.executable, "-c", PROGRAM, "read"], input=b"\xff\xfe", capture_output=True)
    assert done.returncode == 2
    assert b"cannot read stdin: not UTF-8 text" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_told_in_one_line():
    done = shell('"$PY" -c "$TOY" data > /dev/full')
    assert done.returncode == 1
    assert "toy: error: cannot write to stdout: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_standing_options(capfd):
    from importlib.metadata import version

    @click.group(cls=Group)
    @standing_options("flambe-config")
    def group():
        pass

    @group.command()
    def speak():
        for how in (QUIET, NORMAL, VERBOSE):
            say(f"level {how}", level=how)

    @group.command(context_settings={"ignore_unknown_options": True})
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def hand_on(words):
        say(" ".join(words))

    def said(*words):
        # As a program does it, but for stdout: pytest has that.
        set_level()
        with contextlib.suppress(click.exceptions.Exit):
            group.main(list(words), prog_name="toy", standalone_mode=False)
        return "".join(capfd.readouterr()).split("\n")[:-1]

    assert said("--version") == [f"toy {version('flambe-config')}"]
    assert said("speak") == ["level 0", "level 1"]
    for words in (("-v", "speak"), ("speak", "-v"), ("--verbose", "speak"), ("speak", "--verbose")):
        assert said(*words) == ["level 0", "level 1", "level 2"]
    for words in (
        ("-q", "speak"),
        ("speak", "--quiet"),
        ("-q", "speak", "-v"),
        ("speak", "-vq"),
        ("-v", "speak", "-q"),
    ):
        assert said(*words) == ["level 0"]
    assert said("hand-on", "ls", "-v", "-q") == ["ls -v -q"]


def test_a_quiet_command_leaves_who_called_it_from_python_as_they_were(capsys):
    @click.command()
    @standing_options("flambe-config")
    def toy():
        say("of the command")

    assert enter(toy, "toy", ["--quiet"]) == 0
    say("of the caller")
    assert capsys.readouterr().err == "of the caller\n"
