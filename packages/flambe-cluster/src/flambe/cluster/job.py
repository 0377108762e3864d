"""Jobs: a spec that runs on a cluster, from the copy of its files to the copy of its results."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

import msgspec

from flambe.cli.console import say
from flambe.cluster import transfer
from flambe.cluster.cluster import Cluster
from flambe.cluster.errors import ClusterError, RemoteFileTransferError, SSHConnectingError
from flambe.cluster.host import RETRIES, RETRY_DELAY_S, Host, Refused
from flambe.cluster.relocation import folder_of, relocate
from flambe.errors import RunFailed, UsageError
from flambe.record import layout
from flambe.record.run import RunRecord, read_record
from flambe.runnable.secrets import VARIABLE as SECRETS
from flambe.runnable.secrets import read_secrets, secrets_file
from flambe.spec.codec import dump_spec
from flambe.spec.digest import file_digest
from flambe.spec.nodes import ENV, Spec, kind_of, walk

LARGE_MB = 10
RUN_SHOWS_WITHIN_S = 20.0
PASSED = "FLAMBE_PASS_ENV"
"""The variable that names those which the workers on the factories need."""


class Ended(NamedTuple):
    """How a job ended. state: COMPLETE, FAILED, CANCELLED or LOST; code: its exit status."""

    state: str
    code: int | None
    run: str | None


def submit(
    cluster: Cluster,
    spec: Spec,
    *,
    force: bool = False,
    names: Sequence[str] = (),
    command: Sequence[str] | None = None,
    arguments: Sequence[str] = (),
    secrets: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Copy a spec and what it needs to the machines and start it on the orchestrator. It goes on without us.

    force: end the job that is running. names: environment variables of ours that the job gets. command: what is run
    instead of ``flambe-tune --address …``; the spec's path is added. arguments: more options for flambe-tune. secrets: an INI
    file, which is written beside the job on every machine that runs units, mode 600; only its path is told to the job.

    Returns ``{"event": "submitted", "job": …, "run": path on the orchestrator or None when it does not show yet}``.

    Raises ``ClusterError`` for a busy cluster, and one that is not up; ``ConfigError`` for a spec that cannot be moved.
    """
    environment = _environment(spec, names)
    secret_text = None if secrets is None else _secrets_of(secrets)
    head = cluster.head
    if not all(host.facts for host in cluster.hosts):
        cluster.connect_all()
    node = head.facts["node"]
    if head.facts["cluster"] is None or not node or not node["running"]:
        raise ClusterError(f"the cluster {cluster.name} is not up", hint="Run `flambe-cluster up FILE` first.")
    # Before anything is copied: a busy cluster is not disturbed. The start itself asks again, under a lock.
    running = [job["job"] for job in list_jobs(cluster) if job["state"] == "RUNNING"]
    if running and not force:
        raise _busy(running)
    _ask_for_modules(cluster, spec)
    remote, moved = relocate(spec, head.workdir)
    for source, target in moved.items():
        _send(cluster, Path(source), target)
    job = f"{re.sub(r'[^A-Za-z0-9_-]+', '-', spec.name).strip('-') or 'job'}-{time.strftime('%Y%m%d-%H%M%S')}-{token_hex(2)}"
    folder = f"{head.workdir}/jobs/{job}"
    head.ask("write", path=f"{folder}/{layout.SPEC}", text=dump_spec(remote).decode(), mode=0o644)
    if secret_text is not None:
        place = f"{folder}/secrets.ini"
        cluster.each(lambda host: host.ask("write", path=place, text=secret_text, mode=0o600))
        environment[SECRETS] = place
        environment[PASSED] = ",".join(filter(None, (environment[PASSED], SECRETS)))
    # Without --runner a single unit would run on the orchestrator itself.
    tune = [f"{head.facts['scripts']}/flambe-tune", "--runner", "ray", "--address", cluster.ray_address, *arguments]
    try:
        started = head.ask(
            "job_start",
            workdir=cluster.workdir,
            job=job,
            name=spec.name,
            argv=[*(command or tune), f"{folder}/{layout.SPEC}"],
            environment=environment,
            results=remote.output_dir,
            force=force,
        )
    except Refused as refusal:
        found = refusal.what.partition("busy:")[2]
        raise _busy(found.split(",")) from None if found else refusal
    for other in started["stopped"]:
        say(f"the job {other} was ended")
    state = _until_it_shows(cluster, job)
    return {"event": "submitted", "cluster": cluster.name, "job": job, "run": state["run"], "state": state["state"]}


def list_jobs(cluster: Cluster) -> list[dict[str, Any]]:
    """Return the jobs of a cluster, the oldest first."""
    found: list[dict[str, Any]] = cluster.head.ask("jobs", workdir=cluster.workdir)["jobs"]
    return found


def find_job(cluster: Cluster, word: str | None) -> dict[str, Any]:
    """Return the job called ``word`` (or beginning so); None: the last one. Raises ``ClusterError``."""
    found = [job for job in list_jobs(cluster) if word is None or job["job"].startswith(word)]
    exact = [job for job in found if job["job"] == word]
    if not found:
        raise ClusterError(f"the cluster {cluster.name} has no job" + (f" {word!r}" if word else ""))
    if word is not None and len(found) > 1 and not exact:
        raise ClusterError(f"{word!r} could be {', '.join(job['job'] for job in found)}")
    return (exact or found)[-1]


def kill(cluster: Cluster, job: str) -> dict[str, Any]:
    """End a job; what it has finished stays."""
    result: dict[str, Any] = cluster.head.ask("job_stop", workdir=cluster.workdir, job=job)
    return {"event": "killed", "job": job, **result}


def follow(
    cluster: Cluster,
    job: str,
    *,
    on_stdout: Callable[[str], None],
    on_log: Callable[[str], None],
    wait: bool = True,
    tries: int = RETRIES,
) -> Ended:
    """Pass on what a job writes, until it ends. A lost connection is made again, and nothing comes twice or is missed.

    on_stdout: gets its data, on_log: its words, in pieces as they come. wait: False ends at what there is now.

    Raises ``SSHConnectingError`` when the orchestrator stays away.
    """
    offsets = {"stdout": 0, "log": 0}

    def take(piece: Mapping[str, Any]) -> None:
        offsets[piece["stream"]] = piece["offset"]
        (on_stdout if piece["stream"] == "stdout" else on_log)(piece["text"])

    while True:
        try:
            end = cluster.head.ask(
                "job_tail", workdir=cluster.workdir, job=job, offsets=dict(offsets), follow=wait, on_answer=take
            )
            return Ended(end["state"], end["code"], end["run"])
        except SSHConnectingError as error:
            say(f"{error.what}; the job goes on, connecting again")
            time.sleep(RETRY_DELAY_S)
            cluster.head.connect(tries=tries, on_retry=lambda number, why: say(f"{why} (try {number} of {tries})"))


def fetch(cluster: Cluster, run: str, output_dir: Path) -> dict[str, Any]:
    """Bring a run directory of the orchestrator back as ``output_dir/<name>/exp.<i>``.

    Again goes on where it was cut off and copies what changed. Every file is compared with its digest afterwards: those
    of saved components with their manifests, all others by rsync.

    Raises ``ClusterError`` when another run is in the way, ``RemoteFileTransferError`` when a digest differs.
    """
    parts = Path(run).parts[-2:]
    target = output_dir.joinpath(*parts)
    theirs = cluster.head.run(["cat", f"{run}/{layout.RUN}"])
    if theirs.code:
        raise ClusterError(f"there is no run {run} on {cluster.head.name}")
    record = msgspec.json.decode(theirs.stdout, type=RunRecord)
    ours = target / layout.RUN
    if ours.exists():
        local = read_record(ours, RunRecord)
        if local.id != record.id:
            raise ClusterError(
                f"{target} is another run ({local.id}, there it is {record.id})", hint="Choose another --output-dir."
            )
    elif target.exists() and any(target.iterdir()) and not (target / ".rsync-partial").exists() and not _begun(target):
        raise ClusterError(f"{target} is there already, and is no run", hint="Choose another --output-dir.")
    # run.json comes last: a directory that has it is whole, or was once.
    exclude = [f"--exclude=/{layout.SCRATCH}", f"--exclude=/{layout.RUN}"]
    target.mkdir(parents=True, exist_ok=True)
    (target / _BEGUN).touch()
    host = cluster.head.address
    transfer.pull(cluster.login, host, run, target, options=["--delete", *exclude, f"--exclude=/{_BEGUN}"])
    transfer.pull(cluster.login, host, run, target, options=["--include=/run.json", "--exclude=*"])
    # A change in between is copied now; comparing contents also repairs what a disk has spoilt.
    transfer.pull(cluster.login, host, run, target, options=["--checksum", exclude[0], f"--exclude=/{_BEGUN}"])
    checked = verify(target)
    (target / _BEGUN).unlink()
    status = read_record(ours, RunRecord).status
    if status == "RUNNING":
        say(f"{run} is still running: fetch it again at its end")
    return {"event": "fetched", "run": str(target), "id": record.id, "status": status, "digests": checked}


_BEGUN = ".fetching"


def _begun(target: Path) -> bool:
    return (target / _BEGUN).exists()


def verify(folder: Path) -> int:
    """Compare the files of every saved component below ``folder`` with its manifest. Returns how many were compared.

    Raises ``RemoteFileTransferError``.
    """
    count = 0
    for manifest in sorted(folder.rglob(layout.MANIFEST)):
        for name, digest in msgspec.json.decode(manifest.read_bytes()).get("files", {}).items():
            path = manifest.parent / name
            if not path.is_file() or file_digest(path) != digest:
                raise RemoteFileTransferError(
                    f"{path} {'is not what its manifest says' if path.is_file() else 'is missing'}",
                    hint="Fetch again; if it stays so, the file was changed on the cluster.",
                )
            count += 1
    return count


def exit_code(end: Ended) -> int:
    """Return the exit code that a command ends with for a job that ended so."""
    if end.state == "LOST":
        raise RunFailed(
            "the job is gone without an exit status: its machine was restarted, or its supervisor was killed"
        )
    return end.code if end.code is not None else 0


def _environment(spec: Spec, names: Sequence[str]) -> dict[str, str]:
    needed = {
        value[ENV]
        for stage in spec.stages
        for part in (stage.body, stage.scheduler, stage.search)
        for _, value in walk(part)
        if kind_of(value) == ENV
    }
    left = sorted(needed - set(names))
    if left:
        raise UsageError(
            f"the spec reads the environment variable {left[0]}, and the job would not have it",
            hint=f"Add --env {left[0]}: its value is then sent to the orchestrator.",
        )
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise UsageError(f"--env {missing[0]}: there is no such variable here")
    return {**{name: os.environ[name] for name in names}, PASSED: ",".join(names)}


def _secrets_of(path: str | os.PathLike[str]) -> str:
    """Return the text of a file of secrets. Raises ``MissingSecretsError``, and ``ResourceError`` for what is no INI file."""
    file = secrets_file(os.fspath(path))
    assert file is not None
    read_secrets(file)
    return file.read_text(encoding="utf-8")


def _ask_for_modules(cluster: Cluster, spec: Spec) -> None:
    """Refuse when an extension that is installed here (it is no folder) is missing on a machine."""
    sources = {
        module.partition(".")[0]: source
        for module, source in spec.environment.extensions.items()
        if folder_of(module, source) is None
    }

    def ask(host: Host) -> None:
        for name in host.ask("missing_modules", modules=list(sources))["missing"]:
            raise ClusterError(
                f"{host.name}: the extension {name!r} is not installed there",
                hint=f"flambe-cluster exec {cluster.name} {host.python} -m pip install '{sources[name]}'",
            )

    if sources:
        cluster.each(ask)


def _send(cluster: Cluster, source: Path, target: str) -> None:
    size = _size(source)
    if size > LARGE_MB << 20:
        say(f"sending {source} ({size >> 20} MB) to {len(cluster.hosts)} machines")
    real = Path(os.path.realpath(source))

    def send(host: Host) -> None:
        host.ask("make_dirs", paths=[target if real.is_dir() else os.path.dirname(target)])
        transfer.push(cluster.login, host.address, real, target)

    cluster.each(send)


def _size(source: Path) -> int:
    return sum(path.stat().st_size for _, path in transfer.files_of(source) if path.is_file())


def _busy(running: Sequence[str]) -> ClusterError:
    return ClusterError(
        f"the cluster is busy with {', '.join(running)}",
        hint="Wait for it (`flambe-cluster logs FILE --follow`), or --force ends it first; what it has finished stays.",
    )


def _until_it_shows(cluster: Cluster, job: str) -> dict[str, Any]:
    """Wait until the job's run directory is there, it has ended, or it takes too long to wait for."""
    deadline = time.monotonic() + RUN_SHOWS_WITHIN_S
    while True:
        state = find_job(cluster, job)
        if state["run"] or state["state"] != "RUNNING" or time.monotonic() > deadline:
            return state
        time.sleep(0.3)
