"""The Ray node of this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys

from . import SOURCES
from .files import Refusal, Result, read_json, resolve, write_file, write_json
from .processes import boot, members, stop
from .ray_guard import NAME as GUARD

# A node ends that soon after its head, with the workers on it: a head of ours that comes back knows nothing of it. Ray's own setting is a
# minute. A command has that minute, in which it says itself what is gone.
_ALONE = {"RAY_gcs_rpc_server_reconnect_timeout_s": "3"}


def node_state(folder: str) -> Result | None:
    """Return what is known of this machine's Ray node: its record and whether it runs; None without one."""
    record = read_json(os.path.join(folder, "node.json"))
    if record is None:
        return None
    pids = members("FLAMBE_NODE=" + record["mark"], record["session"], record["boot"])
    names = set()
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as stream:
            names.add(stream.read().strip())
    needed = {"raylet", "gcs_server"} if record["head"] else {"raylet"}
    return {**record, "running": needed <= names, "guarded": GUARD in names, "processes": len(pids)}


def ray_environment(folder: str) -> dict[str, str]:
    """Return the variables of every process that speaks with this cluster's Ray."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": os.path.join(folder, "ray-token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        # A cut cable is noticed in about 12 s; with Ray's own settings it takes a minute.
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "4",
    }


def ray_start(
    workdir: str,
    cluster: str,
    address: str,
    head: bool,
    head_address: str,
    incarnation: str,
    cpus: int | None,
    ray: str,
) -> Result:
    """Start the Ray node of this machine unless the right one runs already.

    incarnation: names one life of the head; a worker of an earlier life is started anew.
    """
    folder = resolve(workdir)
    state = node_state(folder)
    if state and state["running"] and state["mark"] == cluster and state["address"] == address:
        if not state["guarded"]:
            _guard(folder, cluster)
        if head and state["head"]:
            return {"already": True, "incarnation": state["incarnation"]}
        if not head and not state["head"] and state["incarnation"] == incarnation:
            return {"already": True, "incarnation": incarnation}
    if state:
        ray_stop(workdir)
    # Short, because paths of sockets may have 107 characters, and ours alone, because /tmp is everybody's.
    temporary = f"/tmp/flambe-{os.getuid()}-{cluster}"  # noqa: S108 - checked below
    os.makedirs(temporary, mode=0o700, exist_ok=True)
    if os.lstat(temporary).st_uid != os.getuid() or os.path.islink(temporary):
        raise Refusal(f"{temporary} belongs to somebody else")
    command = [ray, "start", "--node-ip-address=" + address, "--disable-usage-stats", "--temp-dir=" + temporary]
    if head:
        port = head_address.rpartition(":")[2]
        with socket.socket() as probe_socket:
            if probe_socket.connect_ex((address, int(port))) == 0:
                raise Refusal(f"port {port} of {address} is in use: choose another ray_port")
        command += ["--head", "--port=" + port, "--include-dashboard=false"]
    else:
        command += ["--address=" + head_address]
    if cpus is not None:
        command += [f"--num-cpus={cpus}"]
    environment = {**os.environ, **ray_environment(folder), **_ALONE, "FLAMBE_NODE": cluster}
    log = os.path.join(folder, "ray-start.log")
    with open(log, "wb") as stream:
        starter = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=environment,
            start_new_session=True,
            cwd=folder,
        )
        record: Result = {
            "mark": cluster,
            "head": head,
            "address": address,
            "incarnation": incarnation,
            "session": starter.pid,
            "boot": boot(),
            "temporary": temporary,
        }
        # Before the end of the start: what it has begun must be found again if this call is cut off.
        write_json(os.path.join(folder, "node.json"), record)
        try:
            code = starter.wait(120)
        except subprocess.TimeoutExpired:
            code = None
            os.killpg(starter.pid, signal.SIGKILL)
    if code != 0:
        with open(log, encoding="utf-8", errors="replace") as stream:
            lines = [line for line in stream.read().splitlines() if line.strip()]
        stop(lambda: members("FLAMBE_NODE=" + cluster, record["session"], record["boot"]))
        why = "did not end in 120 s" if code is None else f"ended with {code}"
        raise Refusal("ray start {}: {}".format(why, " / ".join(lines[-3:])))
    _guard(folder, cluster)
    return {"already": False, "incarnation": incarnation}


def _guard(folder: str, cluster: str) -> None:
    """Let what the node leaves behind end with it."""
    script = os.path.join(folder, "ray_guard.py")
    write_file(script, SOURCES["ray_guard"], 0o644)
    mark = "FLAMBE_NODE=" + cluster
    subprocess.Popen(
        [sys.executable, script, mark],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "FLAMBE_NODE": cluster},
        start_new_session=True,
        cwd=folder,
    )


def ray_stop(workdir: str) -> Result:
    """Stop the Ray node that belongs to this cluster."""
    folder = resolve(workdir)
    record = read_json(os.path.join(folder, "node.json"))
    if record is None:
        return {"stopped": 0}
    count = stop(lambda: members("FLAMBE_NODE=" + record["mark"], record["session"], record["boot"]))
    if record["temporary"].startswith("/tmp/flambe-"):  # noqa: S108
        shutil.rmtree(record["temporary"], ignore_errors=True)
    os.unlink(os.path.join(folder, "node.json"))
    return {"stopped": count}


def ray_nodes(workdir: str, address: str) -> Result:
    """Return the nodes that Ray's head knows. Runs on the head's machine."""
    os.environ.update(ray_environment(resolve(workdir)))
    host = address.rpartition(":")[0]
    import ray

    try:
        ray.init(address=address, _node_ip_address=host, log_to_driver=False, logging_level="ERROR")
    except Exception as error:
        raise Refusal(f"Ray does not answer at {address}: {str(error).strip().splitlines()[-1]}") from None
    nodes = [
        {
            "address": node["NodeManagerAddress"],
            "alive": node["Alive"],
            "cpus": node["Resources"].get("CPU", 0),
            "gpus": node["Resources"].get("GPU", 0),
        }
        for node in ray.nodes()
    ]
    ray.shutdown()
    return {"nodes": nodes, "version": ray.__version__}
