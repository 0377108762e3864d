"""What a decorated function gets, gives back, and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from flambe.record.code_copy import edited_files


def test_what_a_context_has(project: Any) -> None:
    project.main(
        """
from pathlib import Path
import json, os, random
seen = {
    "config": ctx.config.to_dict(), "run": ctx.run.to_dict(), "same": ctx.mlxpy is ctx.run is ctx.mlxp, "status": ctx.info.status,
    "ended": ctx.info.time.ended if "ended" in ctx.info.time else None, "host": ctx.info.hostname == os.uname().nodename,
    "id": ctx.logger.log_id, "dir": ctx.logger.log_dir, "cwd": os.getcwd(), "path": ctx.info.path, "draw": random.random(),
}
ctx.logger.log_metrics({"loss": 0.5, "step": 1}, log_name="train")
ctx.logger.log_artifact({"a": [1, 2]}, "a.json", "json")
Path("seen.json").write_text(json.dumps(seen))
return {"loss": float("nan"), 1: (2, 3)}
"""
    )
    assert project.start("seed=3").stdout == "returned {'loss': nan, 1: (2, 3)}\n"
    seen = json.loads((project.folder / "seen.json").read_text())
    root = project.root()
    assert seen["config"] == {"seed": 3, "model": {"num_layers": 4}, "optimizer": {"lr": 0.001}}
    assert (seen["status"], seen["ended"], seen["host"], seen["same"]) == ("RUNNING", None, True, True)
    assert (seen["id"], seen["dir"], seen["cwd"], seen["path"]) == (0, str(root), str(project.folder), str(root))
    assert {key: seen["run"][key] for key in ("main", "name", "snapshot", "dirty", "log", "seeding")} == {
        "main": "main:my_task", "name": "my_task", "snapshot": "copy", "dirty": "include", "log": True, "seeding": "auto",
    }  # fmt: skip
    assert json.loads((root / "metrics/train.jsonl").read_text())["loss"] == 0.5
    assert (root / "artifacts/json/a.json").is_file()
    record = project.record()
    assert (record.entry, record.kind, record.result["$map"][0]) == (
        "main:my_task",
        "function",
        ["loss", {"$float": "NaN"}],
    )
    # Python's random numbers begin at the seed; without one they do not.
    import random

    assert seen["draw"] == random.Random(3).random()
    project.start()
    assert json.loads((project.folder / "seen.json").read_text())["draw"] != seen["draw"]


def test_how_it_ends(project: Any) -> None:
    project.main(
        """
import sys
how = ctx.config.how
if how == "raise":
    raise ValueError("it broke")
sys.exit({"zero": 0, "three": 3, "words": "words"}[how])
""",
        config="how: zero\n",
    )
    ends = {"zero": (0, "COMPLETE", None), "three": (3, "FAILED", "SystemExit: 3"), "words": (1, "FAILED", "SystemExit: words"),
            "raise": (1, "FAILED", "ValueError: it broke")}  # fmt: skip
    for number, (how, (code, status, error)) in enumerate(ends.items()):
        done = project.start(f"how={how}", code=code)
        record = project.record(number)
        assert (record.status, record.exit.code, record.exit.error) == (status, code, error)
        if how == "raise":
            log = (project.root(number) / "outputs.log").read_text()
            for text in (done.stderr, log):
                assert 'main.py", line 9, in my_task' in text
                assert text.count("ValueError: it broke\n") == 1
            assert "flambe/runner" not in done.stderr  # only frames of the user's own


def test_seeding_functions(project: Any) -> None:
    top = "def sow(seed):\n    print('sowing', seed)\n\n\n"
    project.main("print('running')", top=top, config="seed: {a: [1]}\n")
    text = (project.folder / "main.py").read_text().replace('"./configs")', '"./configs", seeding_function=sow)')
    project.write("main.py", text)
    assert project.start().stdout == "sowing {'a': [1]}\nrunning\nreturned None\n"
    assert project.start("seed=null").stdout.startswith("sowing None\n")
    done = project.start("~seed", "+lr=1", code=1)
    assert "MissingFieldError: the config has no seed for sow" in done.stderr
    assert (project.record(2).status, project.record(2).exit.code) == ("FAILED", 1)
    assert project.start("__run__.__seeding__=null").stdout == "running\nreturned None\n"
    assert project.start("__run__.__seeding__=random:seed", "seed=4").stdout == "running\nreturned None\n"


LOGGERS = """
import flambe


class Rounded(flambe.Logger):
    def __init__(self, log_dir, digits=1, forced_log_id=None):
        super().__init__(log_dir)
        self.digits = digits

    def log_metrics(self, metrics_dict, log_name="metrics"):
        super().log_metrics({key: round(value, self.digits) for key, value in metrics_dict.items()}, log_name)


class Other: ...
"""


def test_a_logger_of_the_users(project: Any) -> None:
    project.write("loggers.py", LOGGERS)
    project.main("ctx.logger.log_metrics({'x': 0.126})\nreturn type(ctx.logger).__name__", config="seed: 1\n")
    project.start("__run__.__log__={name: loggers.Rounded, digits: 2}")
    # As mlxpy names it, in its settings file.
    settings = project.write("configs/mlxpy.yaml", "logger: {name: loggers.Rounded, forced_log_id: -1}\n")
    assert project.start().stdout == "returned Rounded\n"
    lines = [(project.root(number) / "metrics/metrics.jsonl").read_text() for number in (0, 1)]
    assert [json.loads(line)["x"] for line in lines] == [0.13, 0.1]
    settings.unlink()
    # It is part of the code that ran, as the seeding is, though the program imports neither.
    project.write("seeds.py", "def sow(seed):\n    print('sowing', seed)\n")
    project.start("__run__.__log__={name: loggers.Rounded}", "__run__.__seeding__=seeds:sow", "seed=1,2")
    again = str(project.root(2) / "stages/main/seed=2/config.yml")
    for file in ("loggers.py", "seeds.py"):
        assert (project.root(2) / file).is_file()
        (project.folder / file).unlink()
    program = [sys.executable, "-m", "flambe.cli.umbrella", "run", again]
    done = subprocess.run(program, cwd=project.folder, capture_output=True, text=True, check=True)
    assert "sowing 2" in done.stderr
    assert json.loads((project.root(3) / "metrics/metrics.jsonl").read_text())["x"] == 0.1
    (project.root(3) / "loggers.py").write_text("")
    assert edited_files(project.root(3), project.record(3)) == ["loggers.py"]
    project.write("loggers.py", LOGGERS)
    for named, said in (
        ("loggers.Rounder", "a logger is loggers.Rounder, which is no class; expected a class that inherits from flambe.record.logger.Logger. Did you mean 'Rounded'?"),
        ("loggers.Other", "a logger is loggers.Other, which is no Logger; expected a class that inherits from"),
        ("loggers.Rounded, digit: 3", "loggers.Rounded takes no 'digit'. Did you mean 'digits'?"),
    ):  # fmt: skip
        assert said in project.start(f"__run__.__log__={{name: {named}}}", code=1).stderr


def test_faults_name_the_place(project: Any) -> None:
    project.main("pass")
    cases = {
        ("model.num_layer=1",): "main.py: error: override 'model.num_layer=1': model has no key 'num_layer'. Did you mean 'num_layers'?\n",
        ("--exp", "x"): "main.py: error: --exp is 'x'; expected a number from 0 on\n",
        ("--resume",): "main.py: error: --resume has no value; expected --resume RUN\n",
        ("--exp", "1", "--resume", "x"): "main.py: error: --exp makes a new folder, and --resume goes on in an old one. Give one of them.\n",
        ("--resume", "x"): f"main.py: error: there is no run 'x' below {project.folder / 'logs'}; expected the folder of a run, its id, "
        "or the beginning of it\n",
        ("seed=1", "--jobs", "3"): "main.py: error: --jobs stands after an override. Options come before the first override.\n",
        ("--jbos", "3"): "main.py: error: there is no option --jbos, and no such key. Did you mean '--jobs'?\n",
        ("__run__.__dirty__=maybe",): "main.py: error: override '__run__.__dirty__=maybe': __dirty__ is 'maybe'; expected include, head or refuse\n",
    }  # fmt: skip
    for words, said in cases.items():
        done = project.start(*words, code=2)
        assert (done.stdout, done.stderr) == ("", said)
    assert not (project.folder / "logs").exists()
    # A key may be called as an option.
    project.write("configs/config.yaml", "jobs: 1\n")
    project.main("print(ctx.config.jobs)", config="jobs: 1\n")
    assert project.start("jobs=3").stdout == "3\nreturned None\n"


def test_help_version_and_dry_run_run_nothing(project: Any) -> None:
    project.main('"""Train a small model."""\nprint("it ran")', config="lr: 1\nuse: ${HOME}/{lr}\n")
    said = project.start("--help").stdout
    assert said.startswith("Usage: main.py [OPTION]... [OVERRIDE]...\n\nTrain a small model.\n")
    assert "--resume RUN" in said
    assert "  use: ${HOME}/{lr}\n" in said
    assert project.start("--version").stdout.startswith("main.py (flambe ")
    done = project.start("--dry-run", "lr=1,2")
    assert "it ran" not in done.stdout
    first, second = done.stdout.split("---\n")
    assert first.startswith("__resolved__: true\n__run__:\n  __main__: main:my_task\n")
    assert second.endswith("/2\n")
    assert not (project.folder / "logs").exists()


def test_without_brackets_and_without_a_guard(project: Any) -> None:
    project.write("main.py", "import flambe\n\n\n@flambe.launch\ndef my_task(ctx): ...\n")
    assert "@launch was written without brackets. Write @flambe.launch()." in project.start(code=1).stderr
    project.write("configs/config.yaml", "lr: 1\n")
    project.write("main.py", "import flambe\n\n\n@flambe.launch()\ndef my_task(ctx): ...\n\n\nmy_task()\n")
    project.start()  # nothing imports it: what is loaded is what was copied
    done = project.start("lr=1,2", code=1)
    assert "Call it below 'if __name__ == \"__main__\":'" in done.stderr


def test_code_that_cannot_be_copied(project: Any) -> None:
    text = "import flambe\n\n\n@flambe.launch()\ndef my_task(ctx): ...\n\n\nmy_task()\n"
    project.write("my-task.py", text)
    for words, said in (
        (["my-task.py"], "my-task.py: error: my-task.py cannot be imported. Rename it: letters, digits and '_'.\n"),
        (
            ["-c", text],
            "-c: error: my_task is written in no file. A run keeps a copy of its code: write it into one.\n",
        ),
    ):
        done = subprocess.run([sys.executable, *words], cwd=project.folder, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (2, said)


def test_debug_runs_the_code_from_its_place(project: Any) -> None:
    project.main("print(__file__, ctx.run.snapshot)\nreturn ctx.config.lr", config="lr: 1\n")
    done = project.start("lr=1,2", "--debug")
    assert done.stdout == f"{project.folder / 'main.py'} copy\n" * 2 + "returned [1, 2]\n"
    root = project.folder / "logs/DEBUG/my_task/exp.0"
    assert not (root / "main.py").exists()
    assert not (root / "frozen_requirements.txt").exists()
    assert json.loads((root / "run.json").read_text())["code"]["mode"] == "none"


def test_importing_changes_nothing_and_threads_may_run(project: Any) -> None:
    project.main("return ctx.config.lr * 2", config="lr: 1\n")
    program = """
import signal, threading
before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
found = []
def use():
    import main
    found.append(main.my_task({"lr": 21}))
    found.append([run.record.result for run in main.my_task.run(["lr=4"])])
thread = threading.Thread(target=use)
thread.start()
thread.join()
assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
print(found)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "not", "read"], cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[42, [8]]\n", done.stderr


def test_from_python(project: Any) -> None:
    project.main(
        "if ctx.config.lr < 0:\n    raise ValueError('negative')\nreturn [ctx.config.lr, ctx.config.get('text')]",
        config="lr: 1\n",
    )
    program = """
import main
print(main.my_task({"lr": 2, "text": "{lr} $HOME", "__run__": {"__name__": "other"}}))
try:
    main.my_task({"lr": -1})
except ValueError as error:
    print("raised", error)
(run,) = main.my_task.run(["lr=3,-4"])
print(run.status, [unit.status for unit in run.units()], run.path)
(run,) = main.my_task.run({"lr": 5})
print(run.status, run.record.result)
try:
    main.my_task.run(["rl=3"])
except Exception as error:
    print(type(error).__name__)
try:
    main.my_task({"lr": object()})
except Exception as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        "[2, '{lr} $HOME']",
        "raised negative",
        f"FAILED ['COMPLETE', 'FAILED'] {project.root(1)}",
        "COMPLETE [5, None]",
        "ConfigFaults",
        "the config is no plain data: object is not plain data",
    ]
    assert (project.folder / "logs/other/exp.0/run.json").is_file()


def test_streams(project: Any) -> None:
    project.main("import sys\nprint('out')\nprint('err', file=sys.stderr)")
    done = project.start("__run__.__streams__=file")
    assert (done.stdout, done.stderr) == ("returned None\n", "")
    assert "out\n" in (project.root(0) / "outputs.log").read_text()
    done = project.start("__run__.__streams__=none")
    assert (done.stdout, done.stderr) == ("out\nreturned None\n", "err\n")
    assert "out\n" not in (project.root(1) / "outputs.log").read_text()


def test_requirements(project: Any) -> None:
    project.main("pass")
    project.write("requirements.txt", "numpy>=1\n")
    project.start("__run__.__requirements__=declared")
    assert (project.root(0) / "requirements.txt").read_text() == "numpy>=1\n"
    assert not (project.root(0) / "frozen_requirements.txt").exists()
    project.start("__run__.__requirements__=none")
    assert not list(project.root(1).glob("*requirements.txt"))


def test_a_task_in_a_package(project: Any) -> None:
    project.write("lab/__init__.py", "")
    project.write("lab/tools.py", "VALUE = 3\n")
    project.write(
        "lab/first.py",
        "import flambe\nfrom lab.tools import VALUE\n\n\n@flambe.launch('../configs')\ndef task(ctx):\n    return VALUE * ctx.config.lr\n\n\n"
        "if __name__ == '__main__':\n    print(task())\n",
    )
    project.write("configs/config.yaml", "lr: 2\n")
    done = subprocess.run(
        [sys.executable, "-m", "lab.first", "lr=2,3"], cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[6, 9]\n", done.stderr
    root = project.folder / "lab/logs/task/exp.0"
    assert json.loads((root / "run.json").read_text())["entry"] == "lab.first:task"
    assert (root / "lab/tools.py").is_file()
    # In the package itself too.
    project.write(
        "lab/__init__.py",
        "import flambe\n\n\n@flambe.launch('../configs')\ndef whole(ctx):\n    return ctx.config.lr\n",
    )
    program = [sys.executable, "-c", "import lab\n(run,) = lab.whole.run([])\nprint(run.status, run.record.result)"]
    assert subprocess.check_output(program, cwd=project.folder, text=True) == "COMPLETE 2\n"
    assert (project.folder / "lab/logs/whole/exp.0/lab/tools.py").is_file()
