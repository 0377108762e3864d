"""The pages' server: routes over a library of runs. It reads, it never writes, and asks nothing of other hosts."""

from __future__ import annotations

import errno
import gzip
import importlib.metadata
import json
import re
import secrets
import socket
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import plotly
from flask import Flask, Response, abort, redirect, render_template, request, url_for
from waitress.server import create_server
from werkzeug.exceptions import HTTPException

from flambe.cli.console import say
from flambe.cli.streams import emit
from flambe.errors import ConfigError, MachineError, UsageError
from flambe.reading.recorded import RecordedRun
from flambe.reading.whole_run import is_whole_run
from flambe.report import pages
from flambe.report.access import guard, is_loopback
from flambe.report.archive import tar_stream
from flambe.report.graph import BOX_HEIGHT, BOX_WIDTH, draw
from flambe.report.library import Library
from flambe.report.rows import cell, finite

PORT = 49558
_TRIES = 50
_BUSY = (errno.EADDRINUSE,)


def make_app(roots: Sequence[Path], *, token: str, cookie: str = "flambe_report", tensorboard: str = "") -> Flask:
    """Return the WSGI application over the runs at and below ``roots``.

    token: what opens the pages; empty opens them to whoever reaches the server by a loopback name. tensorboard: an
    address to link to. Raises ConfigError for a path that does not exist.
    """
    library = Library(roots)
    lone = roots[0] if len(roots) == 1 and is_whole_run(roots[0]) else None
    app = Flask(__name__)
    # "//x" is no other way of writing "/x": it is refused, never redirected.
    app.url_map.merge_slashes = False
    app.jinja_env.globals.update(
        version=importlib.metadata.version("flambe-report"), tensorboard=tensorboard, cell=cell
    )  # fmt: skip
    guard(app, token, cookie=cookie)

    def run_or_404(key: str) -> RecordedRun:
        return library.get(key) or abort(404, "There is no such run here (any more).")

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> tuple[str, int]:
        return render_template(
            "message.html", title=f"{error.code} {error.name}", text=error.description
        ), error.code or 500

    @app.errorhandler(ConfigError)
    def faulty(error: ConfigError) -> tuple[Response, int]:
        return _json({"error": str(error)}), 400

    @app.errorhandler(KeyError)
    def unknown(error: KeyError) -> tuple[Response, int]:
        return _json({"error": f"the run has no {error.args[0]!r}"}), 404

    @app.get("/")
    def index() -> Any:
        if lone is not None:
            return redirect(url_for("run_page", key=next(iter(library.runs()))))
        return render_template("runs.html", rows=library.rows(), problems=library.problems())

    @app.get("/runs.json")
    def runs_json() -> Response:
        return _json({"rows": library.rows(), "problems": library.problems()})

    @app.get("/run/<key>/")
    def run_page(key: str) -> str:
        run = run_or_404(key)
        state = pages.run_state(run)
        drawing = draw({stage["name"]: stage["needs"] for stage in state["stages"]})
        return render_template(
            "run.html", key=key, state=state, drawing=drawing, box=(BOX_WIDTH, BOX_HEIGHT), lone=lone is not None,
            stages={stage["name"]: stage for stage in state["stages"]},
        )  # fmt: skip

    @app.get("/run/<key>/state.json")
    def state_json(key: str) -> Response:
        return _json(pages.run_state(run_or_404(key)))

    @app.get("/run/<key>/units.json")
    def units_json(key: str) -> Response:
        return _json(pages.unit_table(run_or_404(key), request.args.get("stage", ""), request.args.get("where", "")))

    @app.get("/run/<key>/curves.json")
    def curves_json(key: str) -> Response:
        return _json(pages.curves(run_or_404(key), request.args.get("stage", ""), request.args.get("metric", "")))

    @app.get("/run/<key>/log.json")
    def log_json(key: str) -> Response:
        start = request.args.get("from", -1, type=int)
        return _json(pages.log_piece(run_or_404(key), request.args.get("unit", ""), start))

    @app.get("/run/<key>/config.json")
    def config_json(key: str) -> Response:
        return _json({"files": pages.configuration(run_or_404(key), request.args.get("stage", ""))})

    @app.get("/run/<key>/files.tar")
    def files_tar(key: str) -> Response:
        run = run_or_404(key)
        unit, stage = request.args.get("unit", ""), request.args.get("stage", "")
        folder = pages.unit_of(run, unit) if unit else pages.stage_of(run, stage) if stage else run.path
        parts = [run.record.name, run.path.name, unit or stage]
        name = re.sub(r"[^\w.=,+-]+", "-", "-".join(part for part in parts if part)).strip("-.") or "run"
        body = tar_stream(folder, name, logs_only="logs" in request.args)
        # The name is ASCII here for the header's sake; inside the archive it is whole.
        plain = name.encode("ascii", "replace").decode().replace("?", "_")
        headers = {"Content-Disposition": f'attachment; filename="{plain}.tar"'}
        return Response(body, mimetype="application/x-tar", headers=headers)

    @app.get("/plotly.js")
    def plotly_js() -> Response:
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        response = Response(_plotly(packed=packed), mimetype="text/javascript")
        if packed:
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["Cache-Control"] = "private, max-age=86400"
        return response

    return app


def _json(data: Any) -> Response:
    return Response(json.dumps(finite(data), ensure_ascii=False, allow_nan=False), mimetype="application/json")


@lru_cache
def _plotly(*, packed: bool) -> bytes:
    """Return plotly's script from the installed package: no other host is ever asked for it."""
    script = (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_bytes()
    return gzip.compress(script, compresslevel=6) if packed else script


def serve(
    roots: Sequence[Path], *, host: str = "127.0.0.1", port: int | None = None, token: str | None = None,
    tensorboard: str = "",
) -> None:  # fmt: skip
    """Serve the pages until interrupted; print the address on stderr, and ``{"url": …}`` on stdout.

    port: None for 49558 or the next free one. token: None for a random one, empty for none.
    Raises UsageError without a token off loopback, MachineError when the address cannot be had.
    """
    if token == "" and not is_loopback(host):
        raise UsageError(
            f"--no-token with --host {host} would open the runs to the network", hint="Leave --no-token out."
        )
    token = secrets.token_urlsafe(24) if token is None else token
    listener = _listen(host, port)
    taken = listener.getsockname()[1]
    app = make_app(roots, token=token, cookie=f"flambe_report_{taken}", tensorboard=tensorboard)
    server = create_server(app, sockets=[listener], threads=8, ident="flambe-report")
    name = f"[{host}]" if ":" in host else host
    url = f"http://{name}:{taken}/" + ("?" + urlencode({"token": token}) if token else "")
    if not is_loopback(host):
        say(f"flambe-report: warning: {host} is reachable from the network, and the pages are not encrypted")
    say(f"flambe-report: serving {', '.join(map(str, roots))}; stop with Ctrl-C\n\n    {url}\n")
    emit(json.dumps({"url": url}))
    try:
        server.run()
    finally:
        server.close()


def _listen(host: str, port: int | None) -> socket.socket:
    for candidate in [port] if port is not None else range(PORT, PORT + _TRIES):
        try:
            family = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0][0]
            listener = socket.create_server((host, candidate), family=family)
        except OSError as error:
            if port is None and candidate + 1 < PORT + _TRIES and error.errno in _BUSY:
                continue
            raise MachineError(f"cannot listen on {host}:{candidate}: {error.strerror}") from error
        if port is None and candidate != PORT:
            say(f"flambe-report: port {PORT} is taken, {candidate} is used")
        return listener
    raise AssertionError("the last port either serves or raises")
