"""What a unit prints: by descriptor, from every thread and child, and nothing of it stays redirected."""

import contextlib
import io
import logging
import os
import subprocess
import sys
import threading
import time

import pytest

from flambe.runnable import secrets
from flambe.runner.capture import Capture


def inodes():
    return [os.fstat(number).st_ino for number in (1, 2)]


def test_prints_of_threads_children_and_c_are_taken_in_order(tmp_path, capfd):
    before = inodes()
    capture = Capture(tmp_path / "outputs.log")
    with capture:
        print("main")
        thread = threading.Thread(target=lambda: print("thread"))
        thread.start()
        thread.join()
        sys.stdout.flush()
        subprocess.run([sys.executable, "-c", "import sys; print('child'); print('its stderr', file=sys.stderr)"])
        os.write(1, b"written\n")
        logging.getLogger("x").info("logged")
    text = capture.take().decode()
    places = [text.index(word) for word in ("main", "thread", "child", "written", "logged")]
    assert places == sorted(places)
    assert "its stderr" in text
    assert capture.take() == b""
    assert inodes() == before
    with capture:
        print("again")
    assert capture.take() == b"again\n"
    assert capfd.readouterr().out == ""


def test_an_exception_inside_gives_everything_back(tmp_path):
    before, handlers, level = inodes(), list(logging.getLogger().handlers), logging.getLogger().level
    capture = Capture(tmp_path / "o")

    def unit():
        print("before")
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"), capture:
        unit()
    assert capture.take() == b"before\n"
    assert (inodes(), list(logging.getLogger().handlers), logging.getLogger().level) == (before, handlers, level)


def test_neither_the_terminal_nor_the_log_has_a_secret(tmp_path, capfd, monkeypatch):
    secret = "hunter2-" * 4
    monkeypatch.setenv("SOME_API_TOKEN", secret)
    monkeypatch.setattr(secrets, "_values", set())
    secrets.hide_environment()
    capture = Capture(tmp_path / "outputs.log", echo=1, hides=True)
    with capture:
        os.write(1, f"one {secret} two {secret[:20]}".encode())
        time.sleep(0.3)  # what was shown by now is shown: half of it has to wait
        os.write(1, f"{secret[20:]} three hunter2-\n".encode())
    assert capfd.readouterr().out == "one [secret] two [secret] three hunter2-\n"
    # In the file others may be writing to its end, so its length stays.
    masked = "[secret]".ljust(len(secret), "*")
    assert (tmp_path / "outputs.log").read_text() == f"one {masked} two {masked} three hunter2-\n"


@pytest.mark.parametrize(
    "harm", ["sys.stdout.close()", "sys.stderr.close()", "sys.stdout = None", "sys.stderr = io.StringIO()"]
)
def test_a_unit_that_closes_or_replaces_the_streams_does_no_lasting_harm(tmp_path, harm):
    program = (
        "import io, os, sys\nfrom pathlib import Path\nfrom flambe.runner.capture import Capture\n"
        f"with Capture(Path({str(tmp_path / 'o')!r})):\n    {harm}\n"
        "os.write(1, b'data')\nos.write(2, b'words')\n"
        f"with Capture(Path({str(tmp_path / 'o')!r})):\n    os.write(1, b'more')\n"
        "os.write(1, b' and more')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "data and more"
    assert done.stderr.startswith("words")
    assert (tmp_path / "o").read_text() == "more"


def test_streams_that_are_not_there_are_no_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with Capture(tmp_path / "o") as capture:
        print("nobody hears")
        os.write(1, b"written\n")
    assert sys.stdout is None
    assert b"written\n" in capture.take()


def test_streams_of_a_notebook_are_taken_and_given_back(tmp_path):
    mine = io.StringIO()
    with contextlib.redirect_stdout(mine), contextlib.redirect_stderr(mine):
        with Capture(tmp_path / "o") as capture:
            print("inside")
        print("outside")
    assert mine.getvalue() == "outside\n"
    assert capture.take() == b"inside\n"


def test_an_echo_copies_what_comes_and_only_that(tmp_path, capfd):
    log = tmp_path / "outputs.log"
    log.write_text("of somebody else\n")
    capture = Capture(log, echo=2)
    with capture:
        print("first")
        subprocess.run([sys.executable, "-c", "print('child')"], stdout=1)
    assert capfd.readouterr().err == "first\nchild\n"
    with log.open("a") as stream:
        stream.write("a note between\n")
    assert capture.take() == b"first\nchild\na note between\n"
    with log.open("a") as stream:
        stream.write("another note\n")
    with capture:
        print("x" * 100_000)
    assert capfd.readouterr().err == "x" * 100_000 + "\n"
    assert capture.take() == b"x" * 100_000 + b"\n"


def test_an_echo_that_nobody_reads_stops_nothing(tmp_path):
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom flambe.runner.capture import Capture\n"
        "reader, writer = os.pipe()\nos.dup2(writer, 2)\nos.close(reader)\nos.close(writer)\n"
        "with Capture(Path(sys.argv[1]), echo=2):\n    print('kept' * 1000)\nos._exit(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "log")], timeout=60, check=False)
    assert done.returncode == 7
    assert (tmp_path / "log").read_text() == "kept" * 1000 + "\n"
