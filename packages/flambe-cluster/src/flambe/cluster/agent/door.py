"""How a request comes in and its answer goes out."""

from __future__ import annotations

from collections.abc import Callable

from .answers import answer, open_way
from .files import Refusal, Result
from .jobs import job_start, job_stop, job_tail, jobs
from .machine import clean, has_dir, make_dirs, missing_modules, probe, remove_dir, write
from .ray_node import ray_nodes, ray_start, ray_stop

VERBS: dict[str, Callable[..., Result]] = {
    "probe": probe,
    "write": write,
    "make_dirs": make_dirs,
    "has_dir": has_dir,
    "remove_dir": remove_dir,
    "missing_modules": missing_modules,
    "clean": clean,
    "ray_start": ray_start,
    "ray_stop": ray_stop,
    "ray_nodes": ray_nodes,
    "jobs": jobs,
    "job_start": job_start,
    "job_stop": job_stop,
    "job_tail": job_tail,
}


def serve(request: Result) -> None:
    """Do one request, answer with ``{"result": …}`` or ``{"refused": …}``."""
    open_way()
    try:
        answer({"result": VERBS[request["verb"]](**request["arguments"])})
    except Refusal as refusal:
        answer({"refused": str(refusal)})
    except OSError as error:
        answer({"refused": f"{error.strerror or error}: {error.filename}" if error.filename else str(error)})
