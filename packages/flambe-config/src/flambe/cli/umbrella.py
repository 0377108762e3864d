"""``flambe``: one word in front of all tools. ``flambe X.yaml`` compiles X and becomes the tool that runs it."""

from __future__ import annotations

import copy
import itertools
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from flambe.cli.console import say, set_level
from flambe.cli.door import Overridden, enter, standing_options
from flambe.cli.given import given_options, install_for
from flambe.cli.older import as_ours, is_older
from flambe.cli.streams import emit, read_text
from flambe.cli.tool import TOOLS, become, find_tool, is_installed, tool_for
from flambe.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    pass


# Version 1.0 had these beside `run`; a cluster file comes after them.
_CLUSTER_WORDS = ("up", "down", "status", "logs", "fetch", "attach", "kill")


def _help() -> str:
    lines = [f"  flambe {name:<11} {tool.summary}" for name, tool in TOOLS.items()]
    return (
        "Run a YAML config, or one of the tools.\n\n\b\n"
        "  flambe X.yaml      the same as flambe run X.yaml\n"
        "  flambe run         compile a config and run it with the tool that fits\n"
        "  flambe submit      the same on a cluster: flambe submit X.yaml --cluster C.yaml\n"
        "  flambe exec        run concrete specs with the floor alone, without flambe-nn\n"
        "  flambe diff A B    what differs between two configs, specs or runs\n"
        "  flambe reproduce   run a finished run anew, and say how equal the two are\n"
        "  flambe verify      run the first steps of a config twice, and once resumed: the first thing that differs\n"
        "  flambe fmt FILE    lay out configs alike\n"
        "  flambe import DIR  write the configs of Hydra, mlxp or expyrun as ours\n"
        + "\n".join(lines)
        + "\n\n\b\nExamples:\n"
        "  flambe experiment.yaml\n"
        "  flambe run experiment.yaml train.max_steps=2 --show\n"
        "  flambe compile experiment.yaml | flambe tune | flambe report ls -"
    )


@click.command(
    help=_help(),
    options_metavar="[OPTIONS] CONFIG|TOOL [WORD]...",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_help_option=True,
)
@standing_options("flambe-config")
@click.pass_context
def front(context: click.Context) -> None:
    # Only reached without any word.
    click.echo(context.get_help(), err=True)
    context.exit(2)


@click.command(
    cls=Overridden,
    help="Compile a config and run it with the tool that fits; this process becomes that tool.\n\n\b\n"
    "Examples:\n  flambe run experiment.yaml\n  flambe run experiment.yaml train.max_steps=2 --show\n"
    "  flambe run experiment.yaml --cluster cluster.yaml",
    context_settings={"help_option_names": ["-h", "--help"], "ignore_unknown_options": True},
)
@click.argument("file")
@click.argument("overrides", nargs=-1, type=click.UNPROCESSED, metavar="[OVERRIDE]...")
@click.option("-c", "--cluster", metavar="FILE", help="Run on the cluster of this file.")
@click.option("-o", "--output", metavar="DIR", help="Where run directories are made.")
@click.option("-d", "--debug", is_flag=True, help="One process, variants one after another.")
@click.option(
    "-f", "--force", is_flag=True, help="Replace what a builder made, take over a busy cluster; runs are kept."
)
@click.option("-i", "--install-extensions", is_flag=True, help="Fetch and pip install the extensions.")
@click.option("-s", "--secrets", metavar="FILE", help="INI file; default ~/.flambe/secrets.ini.")
@click.option("--num-cpus", type=float, metavar="N", help="CPUs of each variant.")
@click.option("--num-gpus", type=float, metavar="N", help="GPUs of each variant.")
@click.option("--plan", is_flag=True, help="Say what would run and what is taken from earlier results; run nothing.")
@click.option("--show", is_flag=True, help="Print the pipe that would run, and run nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
def run(
    file: str,
    overrides: tuple[str, ...],
    cluster: str | None,
    output: str | None,
    debug: bool,
    force: bool,
    install_extensions: bool,
    secrets: str | None,
    num_cpus: float | None,
    num_gpus: float | None,
    plan: bool,
    show: bool,
    verbose: bool,
    quiet: bool,
    job: str | None = None,
    attach: bool = False,
) -> None:
    from flambe.compile.compiler import compile_file

    set_level(quiet=quiet, verbose=verbose)
    if secrets is not None:
        from flambe.runnable.secrets import hand_on

        hand_on(secrets)
    if debug and cluster is not None:
        raise UsageError("--debug works on this machine only", hint="Leave out --cluster.")
    if plan and cluster is not None:
        raise UsageError("--plan looks at the results on this machine", hint="Leave out --cluster.")
    spec = compile_file(file, overrides, argv=sys.argv, install=install_extensions, here=cluster is None)
    spec.debug = spec.debug or debug
    amounts = {kind: n for kind, n in (("cpus", num_cpus), ("gpus", num_gpus)) if n is not None}
    if amounts:
        spec.devices = {**(spec.devices or {}), **amounts}
    if job is not None:
        spec.name = job
    name, arguments = tool_for(spec, cluster=cluster, file=file)
    if plan:
        if name not in ("train", "tune"):
            raise UsageError(f"flambe {name} makes no plan", hint="Leave out --plan.")
        name, arguments = "tune", ["-", "--plan"]
    if cluster is not None:
        arguments += ["--secrets", secrets] if secrets is not None else []
        arguments += ["--follow"] if attach else []
    if name == "train" and spec.kind == "runnable" and not is_installed("train"):
        name = "exec"  # the floor alone runs what needs no torch
    if output is not None:
        if name in ("train", "tune"):
            arguments += ["--output-dir", output]
        else:
            spec.output_dir = output
    if force and (name in ("tune", "build") or "submit" in arguments):
        arguments += ["--force"]
    elif force:
        os.environ["FLAMBE_FORCE"] = "1"  # for the object's own run(); there is nothing else to replace
    loudness = ["--verbose"] * verbose + ["--quiet"] * quiet
    # The words of flambe-cluster stand before what it is to do.
    arguments = loudness + arguments if name == "cluster" else arguments + loudness
    if spec.environment.files and not show:
        from flambe.compile.download import fetch_files

        fetch_files(spec.environment, here=cluster is None)
    if show:
        from flambe.cli.pipe import Asked, pipe

        asked = Asked(file, overrides, debug, amounts, output, install_extensions, secrets, force)
        text, left = pipe(name, arguments, spec, asked)
        emit(text)
        if left:
            say(f"flambe run hands on in the spec itself: {', '.join(left)}")
    else:
        become(name, arguments, spec)


def _submit() -> click.Command:
    """Return ``run`` as it is on a cluster: with a help of its own, which leaves out what works on this machine only."""
    params = [copy.copy(param) for param in run.params]
    for param in params:
        if isinstance(param, click.Option):
            param.hidden = param.hidden or param.name in ("debug", "plan")
            if param.name == "cluster":
                param.help = "The cluster to run on.  [required]"
        elif param.name == "overrides":
            param.metavar = "[NAME] [OVERRIDE]..."
    params.append(click.Option(["-a", "--attach"], is_flag=True, help="Stay until it ends, pass on what it writes."))
    return Overridden(
        "submit",
        callback=_run_there,
        params=params,
        context_settings=run.context_settings,
        help="Compile a config and run it on a cluster that is up; the run directory comes back with flambe fetch.\n\n"
        "NAME: of the run, in place of the config's.\n\n\b\n"
        "Examples:\n  flambe submit experiment.yaml --cluster cluster.yaml\n"
        "  flambe submit experiment.yaml train.max_steps=2 --cluster cluster.yaml --show",
    )


def _run_there(**given: Any) -> Any:
    if given["cluster"] is None:
        raise UsageError("no cluster is named", hint="Add --cluster FILE.")
    assert run.callback is not None
    first, *rest = given["overrides"] or ("",)
    if first and "=" not in first and first[0].isalnum():
        given.update(job=first, overrides=tuple(rest))
    return run.callback(**given)


@click.command(
    name="exec",
    help="Run concrete specs (one a line) with the floor alone: no torch settings, no devices.\n\n\b\n"
    "Example:\n  flambe-compile experiment.yaml --expand | flambe exec",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("spec", default="-", metavar="[SPEC]")
@click.option("-o", "--output-dir", metavar="DIR", help="Where run directories are made.")
@click.option("--force", is_flag=True, help="Begin a new run directory and reuse nothing. Nothing is deleted.")
@given_options
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
def execute(
    spec: str, output_dir: str | None, force: bool, install_extensions: bool, verbose: bool, quiet: bool
) -> int:
    from flambe.logging.console import setup_global_logging
    from flambe.runner.execute import execute_lines
    from flambe.spec.codec import dump_json, load_spec

    set_level(quiet=quiet, verbose=verbose)
    setup_global_logging()

    def on_unit(row: dict[str, Any]) -> None:
        emit(dump_json(row).decode())

    text = read_text(spec, what="spec")
    if install_extensions:
        install_for(load_spec(line) for line in text.splitlines() if line.strip())
    summary = execute_lines(
        text.splitlines(), tool="flambe exec", on_unit=on_unit, output_dir=output_dir, argv=sys.argv, fresh=force
    )
    return 1 if summary.failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``flambe``."""
    words = list(sys.argv[1:] if argv is None else argv)
    if "_FLAMBE_COMPLETE" in os.environ:
        return _complete()
    loudness = list(itertools.takewhile(lambda word: word in ("-v", "--verbose", "-q", "--quiet"), words))
    if len(loudness) < len(words):  # they belong to the tool, whatever side of its name they are on
        first, *rest = words[len(loudness) :]
        words = [first, *loudness, *rest]
    first = words[0] if words else ""
    if first == "run":
        return enter(run, "flambe run", words[1:])
    if first == "submit":
        return enter(_submit(), "flambe submit", words[1:])
    if is_older(first, words[1:]):
        return enter(_older(first, words[1:]), f"flambe {first}", [])
    if first == "exec":
        return enter(execute, "flambe exec", words[1:])
    if first == "diff":
        from flambe.cli.diff import diff

        return enter(diff, "flambe diff", words[1:])
    if first == "fmt":
        from flambe.cli.fmt import fmt

        return enter(fmt, "flambe fmt", words[1:])
    if first == "import":
        from flambe.cli.importing import import_

        return enter(import_, "flambe import", words[1:])
    if first == "reproduce":
        from flambe.cli.reproduce import reproduce

        return enter(reproduce, "flambe reproduce", words[1:])
    if first == "verify":
        from flambe.cli.verify import verify

        return enter(verify, "flambe verify", words[1:])
    if first in TOOLS:
        return enter(_forward(first, words[1:]), f"flambe {first}", [])
    if first in _CLUSTER_WORDS:
        return enter(_forward("cluster", words), f"flambe {first}", [])
    if _is_config(first) or (first.startswith("-") and any(_is_config(word) for word in words)):
        return enter(run, "flambe", words)
    if not words or first.startswith("-"):
        return enter(front, "flambe", words)
    return enter(_refuse(first), "flambe", [])


def _complete() -> int:
    from flambe.cli.completion import Words, hand_on, tool_asked
    from flambe.cli.diff import diff
    from flambe.cli.fmt import fmt
    from flambe.cli.importing import import_
    from flambe.cli.reproduce import reproduce
    from flambe.cli.verify import verify

    asked = tool_asked(TOOLS)
    if asked is not None and is_installed(asked):
        hand_on(asked)
        os.execv(find_tool(asked), [find_tool(asked)])  # noqa: S606 - no shell is wanted
    commands = {"run": run, "submit": _submit(), "exec": execute, "diff": diff, "fmt": fmt, "import": import_,
                "reproduce": reproduce, "verify": verify}  # fmt: skip
    summaries = {name: command.get_short_help_str(80) for name, command in commands.items()}
    summaries.update({name: tool.summary for name, tool in TOOLS.items()})
    summaries.update(dict.fromkeys(_CLUSTER_WORDS, "of a cluster"))
    return enter(Words(summaries, commands), "flambe", [])


def _is_config(word: str) -> bool:
    return word.endswith((".yaml", ".yml")) or (not word.startswith("-") and os.path.isfile(word))


def _forward(name: str, words: list[str]) -> click.Command:
    @click.command()
    def forward() -> None:
        become(name, words)

    return forward


def _older(word: str, rest: list[str]) -> click.Command:
    @click.command()
    def older() -> None:
        become("cluster", as_ours(word, rest))

    return older


def _refuse(word: str) -> click.Command:
    @click.command()
    def refuse() -> None:
        hint = did_you_mean(
            word, ("run", "submit", "exec", "diff", "fmt", "import", "reproduce", "verify", *TOOLS, *_CLUSTER_WORDS)
        )
        raise UsageError(f"there is no tool and no file called {word!r}", hint=hint or "See flambe --help.")

    return refuse


if __name__ == "__main__":
    sys.exit(main())
