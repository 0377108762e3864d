"""What is told of an exception in a unit: the place in the user's own code, the log, and whether it is tried again."""

import sys

import pytest

from flambe.cli import console
from flambe.errors import ConfigError, FlambeError, Position, RunFailed
from flambe.record.layout import RunPaths
from flambe.record.ledger import fold, read_events
from flambe.runner.execute import execute, execute_lines
from flambe.runner.failure import failure_of
from flambe.runner.unit import Unit
from flambe.spec.codec import dump_spec
from flambe.spec.nodes import Source, SourceFile

WALK_LOG = "the whole traceback: stages/walk/0/outputs.log"
BREAK = 'raise ValueError("the toy broke as it was told to")'


def unit(**more):
    return Unit(stage="walk", variant="0", body=None, key="k", seed=0, **more)


def raised(code, *, file="<made>", **names):
    """The exception that a piece of code ends with."""
    try:
        exec(compile(code, file, "exec"), names)
    except BaseException as error:
        return error.with_traceback(error.__traceback__.tb_next)  # without this file, which is no installed one
    raise AssertionError("it raised nothing")


@pytest.fixture
def run(toy_spec):
    def run(**more):
        rows = []
        root, _ = execute(toy_spec(**more), tool="test", on_unit=rows.append)
        return RunPaths(root), rows

    return run


def breaks_with(toy, statement):
    """Let a walk end with another statement; returns its line."""
    source = toy / "__init__.py"
    text = source.read_text()
    assert BREAK in text
    source.write_text(text.replace(BREAK, statement))
    sys.modules.pop("toyext", None)
    return text[: text.index(BREAK)].count("\n") + 1


def test_a_run_tells_the_line_of_the_users_code_and_the_log(run, toy, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    line = breaks_with(toy, BREAK)
    _, rows = run(fail_at=1)
    place = f"(ext/toyext/__init__.py:{line} in run; {WALK_LOG})"
    assert rows[2]["error"] == f"ValueError: the toy broke as it was told to {place}"
    assert (
        f"walk/0: failed, is tried again: ValueError: the toy broke as it was told to {place}" in capfd.readouterr().err
    )


def test_the_line_is_the_users_though_a_library_raised(run, toy):
    line = breaks_with(toy, "np.zeros(2).reshape(5)")
    error = run(fail_at=1)[1][2]["error"]
    assert error.startswith("ValueError: cannot reshape")
    # Away from the user's folder: as it is imported.
    assert error.endswith(f"(toyext/__init__.py:{line} in run; {WALK_LOG})")


def test_without_a_line_of_the_users_it_is_the_innermost_one():
    from json import loads

    text = failure_of(raised("loads('{')", loads=loads), unit()).error
    assert text.startswith("JSONDecodeError: Expecting property name")
    assert "(json/decoder.py:" in text
    assert text.endswith(f" in raw_decode; {WALK_LOG})")


def test_an_error_of_ours_says_what_to_do_and_its_position_first():
    error = ConfigError("no", position=Position("exp.yaml", 3, 5), hint="Say yes.")
    assert failure_of(raised("raise error", error=error), unit()).error == "exp.yaml:3:5: no. Say yes."
    assert failure_of(raised("raise error", error=RunFailed("no")), unit()).error == "RunFailed: no"


def test_an_error_of_ours_that_the_users_code_caused_names_its_line(tmp_path):
    code = "def f():\n    raise ValueError('odd')\ntry:\n    f()\nexcept ValueError as error:\n    other = error\n"
    names = {}
    exec(compile(code, str(tmp_path / "mine.py"), "exec"), names)
    error = FlambeError("it broke")
    error.__cause__ = names["other"]
    assert failure_of(error, unit(cwd=str(tmp_path))).error == f"FlambeError: it broke (mine.py:2 in f; {WALK_LOG})"


def test_a_syntax_error_is_at_its_own_line(run, toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = breaks_with(toy, "this is no Python")
    paths, rows = run()
    assert rows[0]["error"] == (
        f"SyntaxError: invalid syntax (ext/toyext/__init__.py:{line}; the whole traceback: stages/words/0/outputs.log)"
    )
    assert fold(read_events(paths.ledger)).attempts["words/0"] == 1


@pytest.mark.parametrize(
    ("statement", "attempts"),
    [
        ("self.embb", 1),
        ("undefined", 1),
        ("len(3)", 1),
        ("import nothing_of_that_name", 1),
        ("raise RuntimeError('out of memory')", 2),
        ("raise OSError('the disk is full')", 2),
    ],
)
def test_only_what_could_succeed_is_tried_again(run, toy, statement, attempts):
    breaks_with(toy, statement)
    paths, rows = run(fail_at=1)
    assert rows[2]["status"] == "FAILED"
    assert fold(read_events(paths.ledger)).attempts["walk/0"] == attempts


def test_verbose_shows_the_traceback(run, capfd):
    console.set_level(verbose=True)
    try:
        run(fail_at=1)
    finally:
        console.set_level()
    words = capfd.readouterr().err
    assert "Traceback (most recent call last)" in words
    assert BREAK in words


def test_secrets_are_in_neither(tmp_path, monkeypatch):
    monkeypatch.setattr("flambe.runnable.secrets._values", {"open-sesame"})
    failure = failure_of(raised("raise ValueError('open-sesame')"), unit())
    assert "open-sesame" not in failure.error + failure.trace


# -- where in the config -------------------------------------------------------------------------------------------------


def at(spec, **places):
    """The spec as compiled from a file, with the lines of some values: dotted path from the stage on."""
    names = [stage.name for stage in spec.stages]
    spec.source = Source(files=[SourceFile(path="exp.yaml", sha256="", text="")])
    for path, line in places.items():
        stage, *keys = path.split("__")
        spec.origins["/".join(["/stages", str(names.index(stage)), "body", *keys])] = [0, line, 5]
    return spec


@pytest.fixture
def error_of(toy_spec):
    """The error of the first stage that failed of a spec."""

    def error_of(spec):
        rows = []
        execute(spec, tool="test", on_unit=rows.append)
        return next((row["stage"], row["error"]) for row in rows if row["status"] == "FAILED")

    return error_of


def test_what_a_constructor_raises_is_at_its_tag(toy_spec, toy, error_of):
    source = toy / "__init__.py"
    source.write_text(source.read_text().replace("self.size = size", "self.size = self.sise", 1))
    spec = at(toy_spec(size=3), model=3, model__cell=4)
    stage, error = error_of(spec)
    assert stage == "model"
    # A fault that the builder does not wrap has its position in front too.
    # The reason comes before the whole call.
    assert error.startswith("exp.yaml:4:5: while building model.cell: AttributeError: 'Cell' object has no")
    assert "; the call: Cell(size=3) (" in error
    assert "toyext/__init__.py" in error


def test_a_wrong_argument_is_at_its_tag(toy_spec, error_of):
    spec = at(toy_spec(seps=3), walk=7)
    _, error = error_of(spec)
    assert error.startswith("exp.yaml:7:5: walk: Walk got other arguments than it takes: ")


def test_a_link_to_an_attribute_that_is_not_there_is_at_the_link(toy_spec, error_of):
    spec = toy_spec(size={"$link": ["words"], "attr": ["sise"]})
    stage, error = error_of(at(spec, model=3, model__cell__size=5))
    assert stage == "words"
    assert (
        error
        == "exp.yaml:5:5: the link 'words.sise' leads nowhere: a Words has no attribute 'sise'. Did you mean 'size'?"
    )


def test_what_cannot_be_handed_on_is_at_the_link(toy_spec, error_of):
    spec = toy_spec(size={"$link": ["words"], "attr": ["run"]})
    _, error = error_of(at(spec, model__cell__size=5))
    assert error.startswith("exp.yaml:5:5: a later stage links to words.run, a ")


def test_every_variant_of_a_file_knows_the_places_that_its_first_line_says(toy_spec, tmp_path):
    specs = [at(toy_spec(seps=count), walk=7) for count in (3, 4)]
    specs[1].origins = {}
    rows = []
    execute_lines([dump_spec(spec).decode() for spec in specs], tool="test", on_unit=rows.append)
    errors = [row["error"] for row in rows if row.get("error")]
    assert [error[:14] for error in errors] == ["exp.yaml:7:5: "] * 2


def test_what_a_part_raises_while_it_runs_is_at_that_part(toy_spec, toy, error_of):
    breaks_with(toy, "type(self.model).odd = lambda self: {}['no']; self.model.odd()")
    _, error = error_of(at(toy_spec(fail_at=1), walk=7, walk__model=8))
    assert error.startswith("exp.yaml:8:5: walk.model (Model): KeyError: 'no' (")


def test_a_stage_may_say_which_argument_is_wrong(toy_spec, toy, error_of):
    breaks_with(toy, "raise flambe.errors.ArgumentError('too few', argument=['words'], hint='Add some.')")
    _, error = error_of(at(toy_spec(fail_at=1), walk=7, walk__model=8, walk__words=9))
    assert error.startswith("exp.yaml:9:5: too few. Add some.")


def test_of_the_stage_itself_its_own_line_is_all_there_is_to_tell(toy_spec, error_of):
    _, error = error_of(at(toy_spec(fail_at=1), walk=7))
    assert error.startswith("ValueError: the toy broke as it was told to (toyext/__init__.py:")
