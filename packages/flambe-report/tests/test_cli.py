"""The command as a shell sees it: streams, formats, exit codes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from run_builder import SST_STAGES, RunBuilder, sst_run

COMMAND = [sys.executable, "-m", "flambe.report.cli"]


def report(*args: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    return subprocess.run([*COMMAND, *map(str, args)], text=True, capture_output=True, timeout=60, **given)


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    sst_run(folder)
    sst_run(folder, index=1, until=0.6)
    return folder


def test_a_folder_gives_a_row_for_each_run(home: Path) -> None:
    rows = lines(report("ls", home))
    assert [(row["name"], row["index"], row["stage"], row["metric"]) for row in rows] == [
        ("sst", 0, "evaluate", 0.8083), ("sst", 1, "train", 0.7985)
    ]  # fmt: skip
    assert rows[0]["run"] == str(home / "sst" / "exp.0")
    assert rows[0]["status"] == "COMPLETE"


def test_a_run_gives_a_row_for_each_unit(home: Path) -> None:
    rows = lines(report("ls", home / "sst" / "exp.0"))
    assert len(rows) == 15
    best = [row for row in rows if row["best"] and row["stage"] == "train"]
    assert [row["params.model.encoder.n_layers"] for row in best] == [2]
    assert "params.model.dropout" not in rows[0]


def test_units_and_runs_can_be_asked_for(home: Path) -> None:
    assert len(lines(report("ls", home, "--units"))) == 28
    assert len(lines(report("ls", home / "sst" / "exp.0", "--runs"))) == 1


def test_units_of_a_run_are_grouped_and_compared_as_they_are_listed(home: Path) -> None:
    run, group = home / "sst" / "exp.0", ("--group", "params.model.encoder.n_layers", "--agg", "count(metric) as n")
    rows = lines(report("ls", run, "-w", "stage == 'train'", *group))
    assert [list(row.values()) for row in rows] == [[1, 4], [2, 4]]
    assert [row["n"] for row in lines(report("ls", run, "--runs", *group))] == [1]
    differing = lines(report("ls", run, "-w", "stage == 'train'", "--diff"))
    assert len(differing) == 8
    assert [name.rpartition(".")[2] for name in differing[0]] == ["run", "unit", "n_layers", "dropout", "lr"]
    assert [list(row) for row in lines(report("ls", run, "--runs", "--diff"))] == [["run"]]


def test_where_sort_and_columns(home: Path) -> None:
    rows = lines(
        report(
            "ls", home / "sst" / "exp.0", "--where", "stage == 'train' and params.model.encoder.n_layers >= 2",
            "--sort", "-metric", "--columns", "variant,metric",
        )
    )  # fmt: skip
    assert [row["metric"] for row in rows] == sorted((row["metric"] for row in rows), reverse=True)
    assert len(rows) == 4
    assert list(rows[0]) == ["variant", "metric"]


def test_csv_reads_back(home: Path) -> None:
    done = report("ls", home / "sst" / "exp.0", "--format", "csv", "-w", "status == 'FAILED'")
    [row] = csv.DictReader(done.stdout.splitlines())
    assert row["unit"] == "train/n_layers=1,dropout=0.3,lr=0.003"
    assert row["error"].startswith("FloatingPointError")


def test_a_table_off_a_terminal_has_no_colour(home: Path) -> None:
    done = report("ls", home / "sst" / "exp.0", "--format", "table")
    assert "\x1b" not in done.stdout
    head, _, *body = done.stdout.splitlines()
    assert head.split()[:3] == ["stage", "variant", "status"]
    assert len(body) == 15
    assert sum("*" in line for line in body) == 2


def test_a_table_off_a_terminal_cuts_errors_unless_they_are_asked_for(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path, SST_STAGES)
    unit = run.plan("dataset")
    run.start(unit)
    run.fail(unit, "ValueError: " + "long " * 60)
    run.close("FAILED")
    cut = report("ls", run.path, "--format", "table").stdout
    assert max(map(len, cut.splitlines())) == 120
    assert "ValueError: long" in cut
    assert cut.rstrip().endswith("…")
    assert "long " * 59 in report("ls", run.path, "--format", "table", "-c", "unit,error").stdout


def test_lines_of_a_tool_are_read_from_stdin_each_run_once(home: Path) -> None:
    run = str(home / "sst" / "exp.0")
    stream = "\n".join(
        json.dumps(line) for line in [{"unit": "x", "run": run}, {"other": 1}, {"run": run, "status": "COMPLETE"}]
    )
    assert len(lines(report("ls", "-", stdin=stream))) == 15


def test_its_own_rows_can_be_piped_back(home: Path) -> None:
    first = report("ls", home, "--where", "metric > 0.8")
    assert {row["run"] for row in lines(report("ls", "-", "--runs", stdin=first.stdout))} == {
        str(home / "sst" / "exp.0")
    }


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        ("", "stdin is empty, a list of runs was expected"),
        ('{"a": 1}\n', "no line on stdin has a field 'run'"),
        ('{"run": "x"\n', "line 1 of stdin is not JSON"),
    ],
)
def test_useless_stdin_is_a_usage_error(stdin: str, message: str) -> None:
    done = report("ls", "-", stdin=stdin)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("ls", "{run}", "--where", "metrc > 1"), "--where:1:1: unknown column 'metrc'. Did you mean 'metric'?"),
        (("ls", "{run}", "--where", "n_layers > 1"), "Did you mean 'params.model.encoder.n_layers'?"),
        (("ls", "{run}", "--where", "metric >"), "--where:1:9: unexpected the end"),
        (("ls", "{run}", "--sort", "stat"), "--sort: unknown column 'stat'"),
        (("ls", "{run}", "--columns", "vriant"), "--columns: unknown column 'vriant'. Did you mean 'variant'?"),
        (("ls", "/nowhere"), "/nowhere does not exist; expected a run directory, or a folder of runs"),
        (("ls", __file__), "test_cli.py is no folder; expected a run directory, or a folder of runs"),
        (("ls", "{home}", "--where", "status == COMPLETED"), "unknown column 'COMPLETED'. Quote a text: 'COMPLETED'."),
        (("ls", "{home}", "--sort", "qqqqq"), "--sort: unknown column 'qqqqq'. `flambe-report fields PATH` lists them all."),
        (("ls", "{home}", "--agg", "count(metric) as n", "--best", "min(q)"), "--best: unknown column 'q'. Known are n."),
        (("show", "{home}"), "is no run directory. List the runs below it: flambe-report ls"),
        (("curve", "{run}", "-m", "Training/Los"), "'Training/Los' is neither a path nor a metric of a unit. Did you mean"),
        (("html", "/nowhere"), "/nowhere does not exist"),
        (("diff", "/nowhere", "b"), "/nowhere does not exist"),
        (("curve", "{run}", "Training/Los"), "'Training/Los' is neither a path nor a metric of a unit. Did you mean"),
        (("curve", "/nowhere", "Training/Loss"), "/nowhere does not exist"),
        (("ls", "{home}", "--agg", "mean(metric"), "--agg: 'mean(metric'; expected FUNCTION(COLUMN)"),
        (("ls", "{home}", "--agg", "maen(metric)"), "unknown function 'maen'"),
        (("ls", "{home}", "--agg", "mean(metrc)"), "--agg: unknown column 'metrc'. Did you mean 'metric'?"),
        (("ls", "{home}", "--best", "mean(metric)"), "expected min(COLUMN) or max(COLUMN)"),
        (("ls", "{home}", "--group", "name"), "--group without --agg"),
        (("sql", "{home}", "SELEC 1"), "SQL: near"),
        (("sql", "{home}", "SELECT metrc FROM runs"), "no such column: metrc. Did you mean 'metric'?"),
        (("sql", "{home}", "SELECT * FROM unit"), "no such table: unit"),
        (("sql", "{home}", "DELETE FROM runs"), "expected a SELECT"),
        (("sql", "SELECT 1"), "sql wants a PATH and a QUERY"),
        (("rm", "{home}"), "is no run directory"),
        (("serve", "{home}", "--no-token", "--host", "0.0.0.0"), "would open the runs to the network"),
        (("serve", "/nowhere"), "/nowhere does not exist"),
        (("ls",), "Missing argument"),
    ],
)  # fmt: skip
def test_faults_end_with_2_and_say_why(home: Path, args: tuple[str, ...], message: str) -> None:
    done = report(*(arg.format(home=home, run=home / "sst" / "exp.0") for arg in args))
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_an_empty_folder_is_told_and_is_no_fault(tmp_path: Path) -> None:
    done = report("ls", tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing is recorded in" in done.stderr
    page = report("html", tmp_path, "-o", tmp_path / "page.html")
    assert (page.returncode, page.stderr) == (2, f"flambe-report: error: nothing is recorded in {tmp_path}\n")


def test_rows_that_nothing_matches_are_told(home: Path) -> None:
    for args, words in (
        (("ls", home, "-w", "status == 'x'"), "0 of 2 runs match"),
        (("ls", home, "-w", "status == 'x'", "--agg", "count(name)"), "0 of 2 runs match"),
        (("ls", home, "-w", "stage == 'dataset'"), "0 of 2 runs match, but 2 units do: add --units"),
        (("ls", home / "sst" / "exp.0", "-w", "status == 'x'"), "0 of 15 units match"),
        (("curve", home, "-w", "status == 'x'"), "0 of 28 units match"),
        (("ls", home / "sst" / "exp.0", "-w", "stage == 'dataset'", "--best", "min(metric)"), "none of 1 has min(metric)"),
    ):  # fmt: skip
        done = report(*args)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", f"flambe-report: {words}\n")
    assert report("-q", "ls", home, "-w", "status == 'x'").stderr == ""


def test_a_broken_run_is_told_and_the_others_are_listed(tmp_path: Path) -> None:
    sst_run(tmp_path)
    broken = sst_run(tmp_path, index=1).paths.record
    broken.write_text("{")
    done = report("ls", tmp_path)
    assert [row["index"] for row in lines(done)] == [0]
    assert "exp.1/run.json cannot be read" in done.stderr
    assert report("ls", broken.parent).returncode == 2


def test_show_gives_one_document(home: Path) -> None:
    [whole] = lines(report("show", home / "sst" / "exp.0"))
    assert whole["status"] == "COMPLETE"
    assert {"name": "train", "needs": ["dataset", "model"]} in whole["stages"]
    assert len(whole["units"]) == 15


def test_show_as_text_has_the_facts_and_the_table(home: Path) -> None:
    done = report("show", home / "sst" / "exp.1", "--format", "table")
    assert "expected" in done.stdout
    assert "n_layers=2,dropout=0.1,lr=0.003" in done.stdout


def test_show_says_what_a_variant_of_a_population_became(tmp_path: Path) -> None:
    run = sst_run(tmp_path).paths.root
    donor, unit = (f"train/n_layers=1,dropout=0.1,lr={lr}" for lr in (0.001, 0.003))
    taken = {"step": 4, "donor": donor, "donor_step": 4, "choice": {"optimizer.lr": 0.002}}
    event = {"n": 10**6, "t": "2026-11-20T06:00:00Z", "event": "decision", "unit": unit, "decision": "exploit", **taken}
    with (run / "ledger.jsonl").open("a") as ledger:
        ledger.write(json.dumps(event) + "\n")
    [whole] = lines(report("show", run))
    (found,) = (one for one in whole["units"] if one["unit"] == unit)
    assert found["takeovers"] == [taken]
    assert found["params.train.optimizer.lr"] == 0.002
    said = f"{unit}: now lr=0.002, from step 4 of {donor.removeprefix('train/')}"
    assert said in report("show", run, "--format", "table").stdout.splitlines()


def test_curves_come_as_rows(home: Path) -> None:
    rows = lines(report("curve", home / "sst" / "exp.0", "-m", "Training/Loss", "-w", "best and stage == 'train'"))
    assert [row["step"] for row in rows] == [100 * step for step in range(1, 21)]
    assert {row["metric"] for row in rows} == {"Training/Loss"}
    assert rows[0]["value"] > rows[-1]["value"]


def test_a_closed_pipe_is_no_crash(tmp_path: Path) -> None:
    for index in range(3):
        sst_run(tmp_path, index=index)
    command = " ".join(COMMAND)
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} ls {tmp_path} --units | head -1"],
        text=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["unit"] == "dataset/0"


def test_it_lists_a_read_only_folder_as_somebody_else(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path, [])
    run.path.chmod(0o555)
    try:
        assert len(lines(report("ls", tmp_path))) == 1
    finally:
        run.path.chmod(0o755)


@pytest.mark.parametrize("module", ["flambe.report.cli", "flambe.report.site"])
def test_help_imports_no_server(module: str) -> None:
    code = f"import sys, {module} as door; door.main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, timeout=60)
    assert "Example:" in done.stdout
    loaded = set(done.stderr.split())
    assert not loaded & {"flask", "waitress", "plotly", "rich", "torch", "numpy", "pandas"}


def test_the_site_alias_never_opens_a_pickle(tmp_path: Path) -> None:
    state = tmp_path / "state.pkl"
    state.write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    done = subprocess.run(
        [sys.executable, "-m", "flambe.report.site", str(state)],
        text=True,
        capture_output=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "is a pickle, and pickles are never opened" in done.stderr
    assert os.listdir(tmp_path) == ["state.pkl"]


@pytest.mark.parametrize("args", [["ls", "--help"], ["serve", "-h"], ["--version"]])
def test_help_and_version_go_to_stdout(args: list[str]) -> None:
    done = report(*args)
    assert done.returncode == 0
    assert done.stdout
    assert done.stderr == ""


def test_rows_have_no_spaces_as_those_of_the_other_commands(home: Path) -> None:
    for done in (report("ls", home), report("show", home / "sst" / "exp.0")):
        line = done.stdout.splitlines()[0]
        assert line == json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False)


def test_the_star_is_explained_where_there_is_one(home: Path, tmp_path: Path) -> None:
    run = home / "sst" / "exp.0"
    for args in (("ls", run), ("show", run)):
        done = report(*args, "--format", "table")
        assert done.stderr.splitlines()[-1] == "* the best of its stage"
        starred = [line.split()[0] for line in done.stdout.splitlines() if " * " in line]
        assert starred == ["train", "evaluate"]
    RunBuilder(tmp_path, [])
    assert "*" not in report("ls", tmp_path / "sst" / "exp.0", "--format", "table").stderr
    assert "*" not in report("ls", run, "--format", "json").stderr
    assert "*" not in report("ls", run, "--format", "table", "-c", "variant,status").stderr
    assert "*" not in report("-q", "ls", run, "--format", "table").stderr


def test_a_run_that_failed_at_once_has_no_best(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path, SST_STAGES)
    dataset = run.plan("dataset")
    run.start(dataset)
    run.fail(dataset, "ConfigError: no file")
    run.paths.best("dataset").symlink_to("0")
    run.close("FAILED")
    [row] = lines(report("ls", tmp_path))
    assert (row["status"], row["best"], row["metric"]) == ("FAILED", None, None)


def test_logs_of_a_run_and_of_a_unit(home: Path) -> None:
    run = home / "sst" / "exp.0"
    whole = report("logs", run)
    assert (whole.returncode, whole.stderr) == (0, "")
    assert whole.stdout == (run / "outputs.log").read_text()
    unit = "train/n_layers=1,dropout=0.3,lr=0.003"
    assert report("logs", run, unit).stdout == (run / "stages" / unit / "outputs.log").read_text()
    best = report("logs", run, "train/best").stdout
    assert "n_layers=2" in best
    assert report("logs", "-", unit, stdin=json.dumps({"run": str(run)})).stdout


def test_show_names_the_logs_of_failed_units(home: Path) -> None:
    run = home / "sst" / "exp.0"
    unit = "train/n_layers=1,dropout=0.3,lr=0.003"
    [said] = report("show", run).stderr.splitlines()
    assert said.endswith(f"{unit} failed; its log: flambe-report logs {run} {unit}")
    shown = subprocess.run(
        ["bash", "-c", said.partition("its log: ")[2].replace("flambe-report", " ".join(COMMAND))],
        text=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert "FloatingPointError" in shown.stdout


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("train/n_layers=1,dropout=0.3,lr=0.004", "Did you mean 'train/n_layers=1,dropout=0.3,lr=0.003'?"),
        ("train", "train has 8 variants. Name one of train/n_layers=1,dropout=0.1,lr=0.001, "),
        ("nothing", "has no variant 'nothing'. Name one of dataset/0, "),
        ("dataset", "dataset/0 has no outputs.log. It is COMPLETE."),
        ("../../x", "has no variant '../../x'"),
    ],
)
def test_faults_of_logs(home: Path, unit: str, message: str) -> None:
    done = report("logs", home / "sst" / "exp.0", unit)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_log_is_followed_until_its_unit_has_ended(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path, SST_STAGES)
    train = run.plan("train")
    follower = subprocess.Popen(
        [*COMMAND, "logs", str(run.path), "train", "-f"], text=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert follower.stdout is not None
    run.start(train)
    for number in range(3):
        run.say(f"step {number} café", train)
        assert follower.stdout.readline() == f"step {number} café\n"
    log = run.folder(train) / "outputs.log"
    with log.open("ab") as stream:
        stream.write(b"half a line")
    # The attempt is gone: what it printed after its last checkpoint is taken back.
    log.write_text("step 0 café\n")
    run.say("step 1 again", train)
    run.commit(train)
    rest, _ = follower.communicate(timeout=60)
    assert rest.endswith("step 0 café\nstep 1 again\n")
    assert follower.returncode == 0


@pytest.mark.parametrize("verb", ["ls", "show", "logs", "curve", "serve"])
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    done = report(verb, "--help")
    assert done.returncode == 0
    assert f"Example: flambe-report {verb} " in done.stdout
    assert "-v, --verbose" in done.stdout
