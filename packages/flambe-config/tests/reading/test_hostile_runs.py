"""Reading folders that somebody else has made runs nothing of them, reads nothing outside of them, and comes to an end."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hostile_runs import SECRET, Hostile

SEEDS = 4
EACH = 30

READ = """
    import os, resource, sys
    from pathlib import Path

    home, outside, cache = map(os.path.realpath, sys.argv[1:4])
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    import flambe
    from flambe.reading.reader import Reader
    from flambe.record import logger
    from flambe.reading import column_map, foreign, row, runs, sql  # all that reading takes, before it is watched
    from flambe.reading.foreign import expyrun, mlxp
    import flambe.compile.yaml, json, sqlite3, _strptime

    seen = []

    def watch(event, args):
        if event == "open" and isinstance(args[0], (str, bytes)):
            path = os.fsdecode(args[0])
            # Opened so that the system refuses a link, the last part of the path is what it is.
            refuses = isinstance(args[2], int) and args[2] & os.O_NOFOLLOW
            real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)) if refuses else os.path.realpath(path)
            if real.startswith(outside):
                seen.append(f"open {path}")
        elif event in ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class", "socket.connect",
                       "ctypes.dlopen", "os.remove", "os.rename", "shutil.rmtree"):
            seen.append(f"{event} {args!r:.80}")
        elif event == "import" and str(args[0]).partition(".")[0] not in ALLOWED:
            seen.append(f"import {args[0]}")
        elif event == "exec" and not str(getattr(args[0], "co_filename", "")).startswith((sys.prefix, sys.base_prefix, PACKAGE, "<")):
            seen.append(f"exec {args[0]!r}")

    PACKAGE = os.path.dirname(os.path.dirname(flambe.__file__))
    ALLOWED = set(sys.stdlib_module_names) | {"flambe", "msgspec", "yaml", "numpy", "typing_extensions"}
    sys.addaudithook(watch)

    for index in (cache, cache):
        reader = Reader(home, index=index)
        texts = []
        for units in (False, True):
            rows = reader.filter("info.age > 0 or not last(train.loss) == 1 or has(artifact.file.x)", units=units)
            for one in rows:
                for name in list(one):
                    try:
                        texts.append(repr(one[name]))
                    except flambe.errors.FlambeError as error:
                        texts.append(str(error))
            repr(rows), rows.diff(), rows.groupby("status"), rows.sort("index")
        reader.fields, reader.unit_fields()
        for table in ("runs", "params", "config", "metrics", "artifacts"):
            texts.append(repr(reader.sql(f"SELECT * FROM {table}")))
        for run in reader:
            run.units(), run.stages(), run.needs(), run.row()
            for unit in run.units():
                unit.artifacts(), unit.summaries()
                for artifact in unit.artifacts():
                    try:
                        artifact.load()
                    except flambe.errors.FlambeError:
                        pass
        if SECRET in "".join(texts):
            seen.append("the secret was read")
        print(len(reader), len(reader.problems))
    if seen:
        sys.exit("\\n".join(dict.fromkeys(seen)))
"""


def read_apart(home: Path, outside: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    code = f"SECRET = {SECRET!r}\n" + textwrap.dedent(READ)
    return subprocess.run(
        [sys.executable, "-c", code, str(home), str(outside), str(cache)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(SEEDS))
def test_hostile_folders_are_read_and_nothing_else(tmp_path: Path, seed: int) -> None:
    hostile = Hostile(tmp_path / "runs", tmp_path / "outside", seed)
    for index in range(EACH):
        hostile.make(index)
    done = read_apart(tmp_path / "runs", tmp_path / "outside", tmp_path / "cache")
    assert done.returncode == 0, done.stderr[-4000:]
    counts = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(counts) == 2
    assert counts[0] == counts[1]
    found, problems = counts[0]
    assert found > EACH // 4  # most faults leave a run that can be read in part
    assert problems > EACH // 4
    assert not (tmp_path / "outside" / "pwned").exists()
    assert not list(Path().glob("pwned"))


def test_the_watch_sees_what_it_is_there_for(tmp_path: Path) -> None:
    """A root that is itself outside: the same reading reports it."""
    hostile = Hostile(tmp_path / "runs", tmp_path / "outside", 0)
    hostile.home = tmp_path / "outside" / "inner"
    hostile.make(0)
    done = read_apart(tmp_path / "outside", tmp_path / "outside", tmp_path / "cache")
    assert done.returncode == 1
    assert "open " in done.stderr
