"""``flambe-report serve`` as a process of its own, and a plain HTTP client for it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

TOKEN = "a-token-of-the-tests"


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Site(NamedTuple):
    """A running server. get() sends a path exactly as it is written."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def get(self, path: str, *, token: str | None = TOKEN, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        try:
            connection.request("GET", path, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()


@contextlib.contextmanager
def serving(*args: str | Path, module: str = "flambe.report.cli", token: str | None = TOKEN) -> Iterator[Site]:
    """Start a server and stop it at the end. args: those after ``serve``."""
    command = [sys.executable, "-m", module, *(["serve"] if module.endswith("cli") else []), *map(str, args)]
    environment = {name: value for name, value in os.environ.items() if name != "FLAMBE_REPORT_TOKEN"}
    if token is not None:
        environment["FLAMBE_REPORT_TOKEN"] = token
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            _, said = process.communicate(timeout=30)
            raise AssertionError(f"it ended with {process.returncode}: {said}")
        yield Site(process, json.loads(line)["url"])
    finally:
        process.terminate()
        process.communicate(timeout=30)
