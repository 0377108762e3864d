"""Downloads from a real server on the loopback: whole, broken off and taken up, changed, refused, checked, cached."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flambe.build import Scope, build
from flambe.compile import compile_text, downloader
from flambe.compile import download as module
from flambe.compile.download import DownloadError, address, cache_folder, fetch, fetch_files
from flambe.errors import FlambeError
from flambe.runnable.error import NonExistentResourceError
from flambe.spec.nodes import Environment

BODY = bytes(range(256)) * 4096  # 1 MiB


class Server(ThreadingHTTPServer):
    """Serves ``body`` at every path with ranges and ETags. break_after: bytes after which the next answers are cut off."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.etag: str | None = '"one"'
        self.break_after: list[int] = []
        self.status = 200
        self.asked: list[dict[str, str]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path: str = "/data.bin") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.asked]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.send_response(self.server.status)
        self.end_headers()

    def do_GET(self) -> None:
        here = self.server
        here.asked.append(dict(self.headers))
        start, status = 0, here.status
        if status == 200 and here.etag and self.headers.get("If-None-Match") == here.etag:
            status = 304
        elif status == 200 and self.headers.get("Range") and self.headers.get("If-Range") == here.etag:
            start, status = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")), 206
        body = here.body[start:] if status in (200, 206) else b""
        self.send_response(status)
        if here.etag:
            self.send_header("ETag", here.etag)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(here.body) - 1}/{len(here.body)}")
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status in (200, 206) and here.break_after:
            body = body[: here.break_after.pop(0)]
            self.close_connection = True
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "_checked", set())


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a new process would."""
    monkeypatch.setattr(module, "_checked", set())


def test_a_file_is_downloaded_once_and_asked_for_once_in_each_process(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch(server.url())
    assert path.read_bytes() == BODY
    assert path.name == "data.bin"
    assert fetch(server.url()) == path
    assert len(server.asked) == 1
    forget(monkeypatch)
    assert fetch(server.url()).read_bytes() == BODY
    assert server.asked[1]["If-None-Match"] == '"one"'
    server.body, server.etag = b"new", '"two"'
    assert fetch(server.url(), refresh=True).read_bytes() == b"new"


def test_a_download_that_breaks_off_goes_on_where_it_was(server: Server) -> None:
    server.break_after = [300_000, 400_000]
    assert fetch(server.url()).read_bytes() == BODY
    assert server.ranges() == [None, "bytes=300000-", "bytes=700000-"]
    assert server.asked[1]["If-Range"] == '"one"'


def test_the_next_command_goes_on_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    server.break_after = [500_000]
    with pytest.raises(
        DownloadError,
        match=r"/data.bin cannot be downloaded: the connection closed after 500000 of 1048576 bytes. The same command goes on where it broke off",
    ):
        fetch(server.url())
    assert fetch(server.url()).read_bytes() == BODY
    assert server.ranges() == [None, "bytes=500000-"]


def test_another_version_in_between_begins_anew(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    server.break_after = [500_000]
    with pytest.raises(DownloadError):
        fetch(server.url())
    server.body, server.etag = b"x" * 600_000, '"two"'
    assert fetch(server.url()).read_bytes() == b"x" * 600_000
    assert server.asked[1]["If-Range"] == '"one"'


def test_without_a_version_a_download_begins_anew(server: Server) -> None:
    server.etag = None
    server.break_after = [300_000]
    assert fetch(server.url()).read_bytes() == BODY
    assert server.ranges() == [None, None]


def test_a_checksum_is_kept_and_saves_asking(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    good = f"{server.url()}#sha256={hashlib.sha256(BODY).hexdigest()}"
    assert fetch(good).read_bytes() == BODY
    forget(monkeypatch)
    assert fetch(good).read_bytes() == BODY
    assert len(server.asked) == 1
    with pytest.raises(
        DownloadError, match="has other bytes than it should: sha256 .*; expected 0000.*Somebody changed"
    ):
        fetch(f"{server.url('/other.bin')}#sha256={'0' * 64}")
    assert not list(cache_folder().rglob("other.bin*"))
    with pytest.raises(DownloadError, match="'md5=1' is no checksum; expected #sha256= and 64 hexadecimal digits"):
        fetch(f"{server.url()}#md5=1")


@pytest.mark.parametrize(("status", "reason"), [(404, "404 Not Found"), (403, "403 Forbidden")])
def test_what_the_server_refuses_is_no_data(server: Server, status: int, reason: str) -> None:
    server.status = status
    with pytest.raises(DownloadError, match=f"/data.bin cannot be downloaded: the server says {reason}"):
        fetch(f"{server.url()}?signature=hunter2")
    assert not list(cache_folder().rglob("data.bin*"))
    assert len(server.asked) == 1


def test_without_a_connection_the_copy_has_to_do(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch(server.url())
    server.shutdown()
    server.server_close()
    forget(monkeypatch)
    assert fetch(server.url()) == path
    assert "warning: http://127.0.0.1" in capsys.readouterr().err
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    with pytest.raises(DownloadError, match="Connection refused. Is there a connection"):
        fetch(server.url("/new.bin"))


def test_equal_names_do_not_overwrite_each_other(server: Server) -> None:
    first = fetch(server.url("/a/data.txt"))
    server.body, server.etag = b"second", '"b"'
    second = fetch(server.url("/b/data.txt"))
    assert first.name == second.name == "data.txt"
    assert (first.read_bytes(), second.read_bytes()) == (BODY, b"second")


def test_two_at_once_download_once(server: Server) -> None:
    threads = [threading.Thread(target=fetch, args=(server.url(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1


def test_names_and_what_is_shown_of_an_address() -> None:
    found = address("https://me:hunter2@host/a/..%2F..%2Fetc/.hidden%2Fx?key=hunter2")
    assert "/" not in found.name
    assert not found.name.startswith(".")
    assert found.shown == "https://host/a/..%2F..%2Fetc/.hidden%2Fx"
    assert address("https://host/").name == "file"


class Storage:
    """What ``s3://`` is read by, in these tests. files: key → content."""

    version = 1
    files: dict[str, bytes] = {}

    def download(self, url: str, destination: Path) -> None:
        for key, data in self.files.items():
            if key == url or key.startswith(url.rstrip("/") + "/"):
                path = destination / (key.removeprefix(url).strip("/") or key.rpartition("/")[2])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)

    def exists(self, url: str) -> bool:
        return any(key.startswith(url) for key in self.files)


def test_other_storage_by_its_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage()
    storage.files = {"s3://b/train.csv": b"1", "s3://b/dir/x.txt": b"x", "s3://b/dir/y/z.txt": b"z"}

    def hooks(group: str, version: int) -> Any:
        assert (group, version) == ("flambe.scheme", 1)
        return (("s3", storage),)

    monkeypatch.setattr("flambe.spec.hooks._loaded", hooks)
    path = fetch("s3://b/train.csv")
    assert path.read_bytes() == b"1"
    folder = fetch("s3://b/dir")
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.txt")) == ["x.txt", "y/z.txt"]
    storage.files["s3://b/train.csv"] = b"2"
    assert fetch("s3://b/train.csv").read_bytes() == b"1"
    assert fetch("s3://b/train.csv", refresh=True).read_bytes() == b"2"
    with pytest.raises(DownloadError, match="there is nothing at s3://b/none"):
        fetch("s3://b/none")
    with pytest.raises(FlambeError, match="nothing here reads gs:// addresses"):
        fetch("gs://b/x")


def test_a_config_gets_what_it_names_by_url(server: Server, tmp_path: Path) -> None:
    spec = compile_text(
        f"!Experiment\nname: t\nresources: {{words: '{server.url('/a/words.txt')}'}}\npipeline:\n  a: !Anything {{x: !@ words}}\n",
        name="t",
    )
    body = spec.stages[0].body
    assert body["x"] == {"$file": server.url("/a/words.txt")}
    assert server.asked == []
    fetch_files(spec.environment, here=True)
    assert len(server.asked) == 1
    path = build(body["x"], scope=Scope(stage="a"))
    assert Path(path).read_bytes() == BODY


def test_files_of_a_cluster_are_of_no_use_here(server: Server, tmp_path: Path) -> None:
    there = Environment(files={"far": str(tmp_path / "none"), "web": server.url()}, remote=["far", "web"])
    fetch_files(there, here=False)
    with pytest.raises(
        NonExistentResourceError,
        match="the file 'far' is on the machines of a cluster, and there is no .*--cluster FILE",
    ):
        fetch_files(there, here=True)
    assert server.asked == []


def test_the_documented_functions(server: Server, tmp_path: Path) -> None:
    with downloader.download_manager(server.url()) as path:
        assert path.read_bytes() == BODY
    with downloader.download_manager(server.url(), tmp_path / "copy.bin") as path:
        assert path == tmp_path / "copy.bin"
        assert path.read_bytes() == BODY
    with downloader.download_manager(str(tmp_path / "copy.bin")) as path:
        assert path == tmp_path / "copy.bin"
    with pytest.raises(FileNotFoundError), downloader.download_manager("nowhere"):
        pass
    downloader.download_http_file(server.url(), tmp_path / "again" / "x")
    assert (tmp_path / "again" / "x").read_bytes() == BODY
    assert downloader.http_exists(server.url())
    server.status = 404
    assert not downloader.http_exists(server.url())
