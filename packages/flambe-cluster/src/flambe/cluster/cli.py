"""``flambe-cluster``: machines for the work."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flambe.cli.console import say
from flambe.cli.door import Group, enter, standing_options
from flambe.cli.streams import claim_stdout, emit_json, read_text
from flambe.errors import UsageError

if TYPE_CHECKING:
    from flambe.cluster.cluster import Cluster

_Command = TypeVar("_Command", bound=Callable[..., Any])


_LATER = ("attach", "audit")


class _Group(Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in _LATER:
            raise UsageError(f"{args[0]!r} is not in this version of flambe-cluster", expected=", ".join(self.commands))
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: flambe-compile exp.yaml | flambe-cluster submit cluster.yaml --follow | flambe-report ls -",
)
@standing_options("flambe-cluster")
def cli() -> None:
    """Make machines a cluster, run specs on it, bring the results back.

    FILE is the YAML of a cluster (!SSHCluster …); after `up` or `submit` from here, its name will do. A JSON line for
    each machine and event on stdout, words on stderr. Exit code 4 when a machine refused or cannot be reached.
    """


def _file(command: _Command) -> _Command:
    return click.argument("file")(command)


def _tries(default: int) -> Callable[[_Command], _Command]:
    return click.option(
        "--tries", type=click.IntRange(min=1), default=default, show_default=True,
        help="How often to try a machine that does not answer, a second apart.",
    )  # fmt: skip


@cli.command(epilog="Example: flambe-cluster up cluster.yaml")
@_file
@_tries(60)
def up(file: str, tries: int) -> int:
    """Connect to all machines, run setup_cmds, install flambe, start Ray.

    Again on a cluster that is up, it repairs what is missing.
    """
    with _opened(file) as cluster:
        summary = cluster.up(tries=tries)
        _remember(file, cluster, id=summary["id"], ray=summary["ray"])
        _event(summary)
    return 0


@cli.command(epilog="Example: flambe-cluster status my-cluster")
@_file
def status(file: str) -> int:
    """Show machines, Ray and jobs. Exit code 4 when a machine is away or not in the cluster."""
    with _opened(file) as cluster:
        summary = cluster.status()
        _event(summary)
    return 0 if summary["ok"] else 4


@cli.command(epilog="Example: flambe-cluster trust cluster.yaml")
@_file
@click.option("--yes", is_flag=True, help="Do not ask. Only where nobody can sit in between.")
def trust(file: str, yes: bool) -> int:
    """Show the fingerprints of the machines and add them to known_hosts.

    Compare each with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on the machine itself. A machine
    whose known key has changed is refused.
    """
    from flambe.cluster.trust import trust_all

    with _opened(file) as cluster:
        trust_all(cluster, yes=yes)
    return 0


@cli.command(
    context_settings={"ignore_unknown_options": True},
    epilog="Example: flambe-cluster exec cluster.yaml --host factory_1 'nvidia-smi -L'",
)
@_file
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--host", "-H", "names", multiple=True, metavar="NAME", help="Only this machine; may be repeated.")
def exec(file: str, command: tuple[str, ...], names: tuple[str, ...]) -> int:
    """Run COMMAND on all machines. Exit code: the command's own, the highest of all machines; 4 for a lost machine.

    One word is the text of a shell command; several words are an argument list.
    """
    import shlex

    with _opened(file) as cluster:
        hosts = [cluster.find_host(name) for name in names] or None
        script = command[0] if len(command) == 1 else shlex.join(command)
        return max(done.code for _, done in cluster.execute(script, hosts))


@cli.command(epilog="Example: flambe-compile exp.yaml | flambe-cluster submit cluster.yaml --env FLAMBE_DATA")
@_file
@click.argument("spec", default="-")
@click.option("--force", is_flag=True, help="End the job that is running there first.")
@click.option("--env", "-e", "names", multiple=True, metavar="NAME", help="Give the job this variable of ours.")
@click.option(
    "--follow", "--wait", "-w", is_flag=True, help="Stay until it ends, pass on what it writes; its exit code."
)
@click.option("--option", "-o", "options", multiple=True, metavar="TEXT", help="One more argument for flambe-tune.")
@click.option(
    "--secrets", "-s", metavar="FILE", help="INI file for self.config of a Runnable; it lies on the machines, mode 600."
)
def submit(
    file: str,
    spec: str,
    force: bool,
    names: tuple[str, ...],
    follow: bool,
    options: tuple[str, ...],
    secrets: str | None,
) -> int:
    """Copy SPEC (default: stdin) with its extensions and files to the cluster and start flambe-tune there.

    The job goes on when this machine is switched off. Its results stay on the orchestrator until `fetch`.
    """
    from flambe.cluster import job as jobs
    from flambe.errors import RunFailed
    from flambe.spec.codec import load_spec

    loaded = load_spec(read_text(spec, what="spec"), where="stdin" if spec == "-" else spec)
    with _opened(file) as cluster:
        cluster.report = _words
        started = jobs.submit(cluster, loaded, force=force, names=names, arguments=options, secrets=secrets)
        _remember(file, cluster, last_job=started["job"])
        _event(started)
        if not follow:
            if started["state"] in ("FAILED", "LOST"):
                _show_log(cluster, started["job"])
                raise RunFailed(f"the job {started['job']} ended at once")
            return 0
        end = jobs.follow(cluster, started["job"], on_stdout=_pass_on, on_log=_to_stderr)
        _event({"event": "ended", "job": started["job"], "state": end.state, "code": end.code, "run": end.run})
        return jobs.exit_code(end)


@cli.command(epilog="Example: flambe-cluster logs cluster.yaml --follow")
@_file
@click.argument("job", required=False)
@click.option("--follow", "-f", is_flag=True, help="Stay until the job ends.")
@click.option("--data", is_flag=True, help="Its JSON lines instead of its words.")
def logs(file: str, job: str | None, follow: bool, data: bool) -> int:
    """Print what JOB (default: the last one) has written."""
    from flambe.cluster import job as jobs

    with _opened(file) as cluster:
        cluster.report = _words
        found = jobs.find_job(cluster, job)["job"]
        show, hide = _pass_on, _ignore
        jobs.follow(cluster, found, on_stdout=show if data else hide, on_log=hide if data else show, wait=follow)
    return 0


@cli.command(epilog="Example: flambe-cluster kill cluster.yaml")
@_file
@click.argument("job", required=False)
def kill(file: str, job: str | None) -> int:
    """End JOB (default: the last one). What it has finished stays, and is taken up when it is submitted again."""
    from flambe.cluster import job as jobs

    with _opened(file) as cluster:
        _event(jobs.kill(cluster, jobs.find_job(cluster, job)["job"]))
    return 0


@cli.command(epilog="Example: flambe-cluster fetch cluster.yaml --output-dir flambe-output | flambe-report ls -")
@_file
@click.argument("job", required=False)
@click.option(
    "--output-dir", "-d", type=click.Path(path_type=Path, file_okay=False), default=Path("flambe-output"),
    show_default=True, help="Where the run is put, as NAME/exp.I.",
)  # fmt: skip
@click.option("--run", "run", metavar="NAME/exp.I", help="This run, instead of the one of a job.")
def fetch(file: str, job: str | None, output_dir: Path, run: str | None) -> int:
    """Bring the run directory of JOB (default: the last one) back and check its digests.

    Cut off, the same command goes on.
    """
    from flambe.cluster import job as jobs
    from flambe.cluster.errors import ClusterError

    with _opened(file) as cluster:
        cluster.report = _words
        if run is None:
            found = jobs.find_job(cluster, job)
            place = found["run"]
            if place is None:
                raise ClusterError(
                    f"the job {found['job']} ({found['state']}) has no run directory",
                    hint=f"flambe-cluster logs {file} {found['job']}",
                )
        else:
            cluster.connect_all()
            place = f"{cluster.head.workdir}/results/{run}"
        _event(jobs.fetch(cluster, place, output_dir))
    return 0


@cli.command(epilog="Example: flambe-cluster down cluster.yaml")
@_file
@click.option("--clean", is_flag=True, help="Also remove the cluster's folder on all machines, results included.")
def down(file: str, clean: bool) -> int:
    """End jobs and Ray on all machines. Results stay there unless --clean. Nothing else is touched."""
    from flambe.cluster import known

    with _opened(file) as cluster:
        _event(cluster.down(clean=clean))
        if clean:
            known.forget(cluster.name)
    return 0


@cli.command(epilog="Example: flambe-cluster doctor cluster.yaml")
@_file
def doctor(file: str) -> int:
    """Look for what would keep the cluster from working, and change nothing. Exit code 4 when something is wrong."""
    from flambe.cluster.doctor import examine

    with _opened(file) as cluster:
        return 0 if examine(cluster, _event) else 4


def load_cluster(file: str) -> Cluster:
    """Return the cluster that a YAML file describes.

    Raises ``ConfigFaults`` for faults in the file, ``ClusterConfigurationError`` when it describes something else.
    """
    from flambe.build.builder import Scope, build
    from flambe.cluster import known
    from flambe.cluster.cluster import Cluster
    from flambe.cluster.errors import ClusterConfigurationError
    from flambe.compile import compile_file
    from flambe.spec.origins import origins_of, position_in

    spec = compile_file(known.file_of(file))
    if spec.kind != "runnable":
        raise ClusterConfigurationError(f"{file} describes no cluster", expected="!SSHCluster or another cluster")
    extensions = spec.environment.extensions
    stage = spec.stages[0]
    origins = origins_of(spec, stage.name, {})
    scope = Scope(stage=stage.name, extensions=extensions, position=lambda path: position_in(origins, tuple(path)[1:]))
    try:
        cluster = build(stage.body, scope=scope)
    except ClusterConfigurationError as error:
        error.position = position_in(origins, error.at) or error.position
        raise
    if not isinstance(cluster, Cluster):
        raise ClusterConfigurationError(
            f"{file} describes a {type(cluster).__qualname__}", expected="!SSHCluster or another cluster"
        )
    cluster.inject_extensions(extensions)
    return cluster


class _opened:
    """The cluster of a file, hung up on at the end. Machines stay as they are after an error: nothing was rented."""

    def __init__(self, file: str) -> None:
        self.cluster = load_cluster(file)
        self.cluster.report = _event

    def __enter__(self) -> Cluster:
        return self.cluster

    def __exit__(self, *_: object) -> None:
        self.cluster.close()


def _remember(file: str, cluster: Cluster, **fields: Any) -> None:
    from flambe.cluster import known

    one = known.recall(cluster.name) or known.Known(name=cluster.name, file="")
    if os.path.exists(file):
        one.file = os.path.abspath(file)
    one.hosts = {host.name: host.address for host in cluster.hosts}
    for name, value in fields.items():
        setattr(one, name, value)
    known.remember(one)


_emitting = threading.Lock()


def _event(event: dict[str, Any]) -> None:
    with _emitting:
        emit_json(event)


def _words(event: dict[str, Any]) -> None:
    """For commands whose stdout belongs to something else."""
    say(json.dumps(event), level=2)


def _pass_on(text: str) -> None:
    out = claim_stdout()
    out.write(text)
    out.flush()


def _to_stderr(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _ignore(text: str) -> None:
    """Words that nobody asked for."""


def _show_log(cluster: Cluster, job: str) -> None:
    from flambe.cluster import job as jobs

    jobs.follow(cluster, job, on_stdout=_ignore, on_log=_to_stderr, wait=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``flambe-cluster`` and return its exit code."""
    return enter(cli, "flambe-cluster", argv)


if __name__ == "__main__":
    sys.exit(main())
