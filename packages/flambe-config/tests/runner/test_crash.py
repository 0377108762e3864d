"""Killed before any single write, the same command ends with the result digest of never having been killed.

Each case is a forked child that dies, as by SIGKILL, before its n-th change of the disk; an audit hook counts them.
"""

import os
import sys

import pytest

from flambe.record.layout import RunPaths
from flambe.record.ledger import fold, read_events
from flambe.runner.execute import execute

_CHANGES = frozenset(
    [
        "os.rename",
        "os.remove",
        "os.mkdir",
        "os.rmdir",
        "os.truncate",
        "os.link",
        "os.symlink",
        "shutil.rmtree",
        "shutil.move",
        "shutil.copytree",
    ]
)


def run(spec, output_dir):
    rows = []
    root, _ = execute(spec, tool="test", on_unit=rows.append, output_dir=output_dir)
    return RunPaths(root), rows[-1]


def in_a_child(work):
    """Run ``work`` in a fork of this process and return its exit code."""
    child = os.fork()
    if child == 0:
        try:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 1)
            os.dup2(null, 2)
            os._exit(work() or 0)
        except BaseException:
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def count_changes(die_before):
    """Count the changes of the disk from now on, and end the process before number ``die_before``."""
    seen = [0]

    def one_more():
        seen[0] += 1
        if seen[0] == die_before:
            os._exit(9)

    def hook(event, args):
        if event in _CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)):
            one_more()

    write = os.write

    def counted(descriptor, data):
        one_more()
        return write(descriptor, data)

    os.write = counted
    sys.addaudithook(hook)
    return seen


def killed_before(number, spec, output_dir):
    """Run in a child that dies before its change ``number``. Returns False when it came to its end before that."""

    def work():
        count_changes(number)
        run(spec, output_dir)

    code = in_a_child(work)
    assert code in (0, 9)
    return code == 9


def check(spec, undisturbed, place):
    paths, last = run(spec, place)
    assert last["result_digest"] == undisturbed["result_digest"]
    assert last["counts"] == {**undisturbed["counts"], "reused": last["counts"]["reused"]}
    events = read_events(paths.ledger)
    assert [event["n"] for event in events] == list(range(len(events)))
    commits = [event["unit"] for event in events if event["event"] in ("commit", "reuse")]
    assert len(commits) == len(set(commits))
    assert fold(events).counts() == last["counts"]


def walk_of(toy_spec, **walk):
    spec = toy_spec(steps=3, size=2, **walk)
    spec.stages = [stage for stage in spec.stages if stage.name in ("model", "walk")]
    spec.stages[1].body.pop("words")
    return spec


# Every change takes some minutes; a prime stride meets all of them over the releases.
STRIDE = int(os.environ.get("FLAMBE_CRASH_STRIDE", "11"))


@pytest.mark.slow
@pytest.mark.parametrize("walk", [{}, {"fail_at": 1}], ids=["done", "failed"])
def test_killed_before_any_change_of_the_disk(toy_spec, tmp_path, walk):
    spec = walk_of(toy_spec, **walk)
    _, undisturbed = run(spec, tmp_path / "undisturbed")
    number = 1
    while killed_before(number, spec, tmp_path / f"k{number}"):
        check(spec, undisturbed, tmp_path / f"k{number}")
        number += STRIDE
    assert number > 50


@pytest.mark.slow
def test_killed_before_any_change_while_results_are_taken_from_an_earlier_run(toy_spec, tmp_path):
    spec = walk_of(toy_spec)
    number = 1
    while True:
        place = tmp_path / f"k{number}"
        first, undisturbed = run(spec, place)
        before = {path: path.read_bytes() for path in first.root.rglob("*") if path.is_file()}
        if not killed_before(number, spec, place):
            break
        check(spec, undisturbed, place)
        assert {path: path.read_bytes() for path in first.root.rglob("*") if path.is_file()} == before
        number += STRIDE
    assert number > 25
