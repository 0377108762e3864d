"""Files that a config names by URL: downloaded once, kept in the user's cache folder, looked at again before each run.

``<cache folder>/flambe/files/<digest of the URL>/<name>`` is the file, so equal names never meet; ``about.json`` beside it says
what the server called this version (its ETag). A download that broke off goes on where it was, if the server still has the
same version (``Range`` with ``If-Range``, RFC 9110 §13.1.5). ``URL#sha256=…`` asks for exactly these bytes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from flambe.cli.console import level, say, stderr_is_terminal
from flambe.errors import FlambeError
from flambe.spec.digest import file_digest

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from flambe.spec.nodes import Environment

ATTEMPTS = 5
TIMEOUT_S = 30.0
_CHUNK = 1 << 18
_checked: set[str] = set()


class DownloadError(FlambeError):
    """A file that cannot be downloaded, or is not what was asked for."""


class Address(NamedTuple):
    """A URL and what is known of its content. shown: without what may be a secret in it, for people."""

    url: str
    sha256: str | None
    scheme: str
    name: str
    shown: str


def address(text: str) -> Address:
    """Read ``URL`` or ``URL#sha256=…``. Raises ``DownloadError`` for another fragment."""
    url, _, fragment = text.partition("#")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise DownloadError(f"{url!r} is no address: {error}") from error
    sha256 = None
    if fragment:
        found = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
        if found is None:
            raise DownloadError(f"{fragment!r} is no checksum", expected="#sha256= and 64 hexadecimal digits")
        sha256 = found[1].lower()
    name = unquote(parts.path.rstrip("/").rpartition("/")[2]).replace("/", "_").lstrip(".") or "file"
    host = parts.netloc.rpartition("@")[2]
    # Signed addresses have their key in the query.
    return Address(url, sha256, parts.scheme, name, f"{parts.scheme}://{host}{parts.path}")


def is_address(text: str) -> bool:
    """Whether ``text`` is a URL, and no path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", text) is not None


def cache_folder() -> Path:
    """Return the folder of downloaded files, in the user's cache folder of the platform."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("flambe", appauthor=False)) / "files"


def fetch(text: str, *, refresh: bool = False) -> Path:
    """Return the path of a downloaded file or (of storage such as S3) folder; a local path comes back as it is.

    A file from the web that is there already is asked for again once in each process, which costs one exchange of headers when
    it has not changed; one from other storage only with ``refresh``. One with a checksum never changes. Without a connection,
    what is there has to do, and a warning says so.

    Raises ``DownloadError`` naming the address and what the server said, FlambeError when nothing reads such addresses.
    """
    if not is_address(text):
        return Path(text)
    asked = address(text)
    folder = cache_folder() / hashlib.sha256(asked.url.encode()).hexdigest()[:24]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / asked.name
    with _locked(folder):
        there = file.exists()
        if there and asked.sha256 is not None and file.is_file() and _about(folder).get("sha256") == asked.sha256:
            return file
        if asked.scheme in ("http", "https"):
            if not there or refresh or asked.url not in _checked:
                _from_web(asked, file)
                _checked.add(asked.url)
        elif refresh or not there:
            _from_storage(asked, file)
        _check(asked, file)
    return file


def fetch_files(environment: Environment, *, here: bool) -> None:
    """Download the files of a spec before anything runs, so that what is not there is found out at once.

    here: it runs on this machine, where the files of a cluster's machines are of no use. Raises as ``fetch``, and
    ``NonExistentResourceError`` for a path of a cluster's machines that is not on this one.
    """
    from flambe.runnable.error import NonExistentResourceError

    for name, source in environment.files.items():
        if name not in environment.remote:
            fetch(source, refresh=True)
        elif here and not is_address(source) and not os.path.exists(os.path.expanduser(source)):
            raise NonExistentResourceError(
                f"the file {name!r} is on the machines of a cluster, and there is no {source} here",
                hint="Run it there: --cluster FILE; or name a file of this machine.",
            )


def download(text: str, destination: Path) -> None:
    """Download a URL to ``destination``, which must not be a folder that is there. Raises as ``fetch``."""
    source = fetch(text)
    destination.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, destination)
    else:
        shutil.copyfile(source, destination)


def exists(text: str) -> bool:
    """Whether anything is at an address. Raises ``DownloadError`` when the server cannot be asked."""
    asked = address(text)
    if asked.scheme not in ("http", "https"):
        from flambe.spec.hooks import scheme

        return scheme(asked.scheme).exists(asked.url)
    try:
        with _open(asked, {}, "HEAD") as response:
            return bool(response.status < 400)
    except _Refused as refused:
        if refused.status in (404, 410):
            return False
        raise


# The web -------------------------------------------------------------------------------------------------------------


class _Refused(DownloadError):
    """The server answered with an error."""

    status = 0


class _Broken(Exception):
    """The connection broke, or never was."""


def _from_web(asked: Address, file: Path) -> None:
    """Download, or find that what is there is current. Broken connections are taken up again, a few times."""
    part = file.with_name(file.name + ".part")
    for attempt in range(ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            return _attempt(asked, file, part)
        except _Broken as broken:
            got_on = part.exists() and part.stat().st_size > before
            if attempt + 1 == ATTEMPTS or (file.exists() and not part.exists()):
                if file.exists():
                    say(f"warning: {asked.shown} cannot be reached ({broken}); the copy of an earlier time is used")
                    return None
                raise DownloadError(
                    f"{asked.shown} cannot be downloaded: {broken}",
                    hint="The same command goes on where it broke off." if part.exists() else "Is there a connection?",
                ) from broken
            if not got_on:
                time.sleep(0.2 * 2**attempt)  # a server that is down is not to be knocked at
    return None


def _attempt(asked: Address, file: Path, part: Path) -> None:
    about = _about(file.parent)
    begun = _about(file.parent, "part.json") if part.exists() else {}
    size = part.stat().st_size if part.exists() else 0
    headers = {}
    if size and begun.get("version"):
        headers = {"Range": f"bytes={size}-", "If-Range": begun["version"]}
    elif file.exists() and about.get("etag"):
        headers = {"If-None-Match": about["etag"]}
    elif file.exists() and about.get("modified"):
        headers = {"If-Modified-Since": about["modified"]}
    try:
        response = _open(asked, headers)
    except _Refused as refused:
        if refused.status == 304:
            return
        if refused.status == 416:  # there is no more than what came already: begin anew, it may be another version
            part.unlink(missing_ok=True)
            raise _Broken("the server takes up no download") from refused
        raise
    with response:
        goes_on = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {size}-")
        if response.status == 206 and not goes_on:
            part.unlink(missing_ok=True)
            raise _Broken("the server went on at another place")
        if not goes_on:
            size = 0
            version = _version(response)
            _write_about(file.parent, {"url": asked.shown, "version": version}, "part.json")
        left = response.headers.get("Content-Length")
        total = None if left is None else size + int(left)
        with open(part, "ab" if goes_on else "wb") as stream, _bar(asked, total, size) as advance:
            while True:
                try:
                    data = response.read(_CHUNK)
                except OSError as error:
                    raise _Broken(_reason(error)) from error
                except Exception as error:  # http.client has errors of its own for a torn answer
                    raise _Broken(type(error).__name__) from error
                if not data:
                    break
                stream.write(data)
                advance(len(data))
        if total is not None and part.stat().st_size != total:
            raise _Broken(f"the connection closed after {part.stat().st_size} of {total} bytes")
        found = {"etag": response.headers.get("ETag"), "modified": response.headers.get("Last-Modified")}
    # The digest first: the file appears whole, with what is known of it.
    _check(asked, part)
    _write_about(file.parent, {"url": asked.shown, **found, "sha256": file_digest(part)})
    os.replace(part, file)
    (file.parent / "part.json").unlink(missing_ok=True)


def _open(asked: Address, headers: dict[str, str], method: str = "GET") -> HTTPResponse:
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    # A compressed answer could not be taken up in its middle.
    request = Request(
        asked.url, headers={"Accept-Encoding": "identity", "User-Agent": "flambe", **headers}, method=method
    )
    try:
        response: HTTPResponse = urlopen(request, timeout=TIMEOUT_S)
    except HTTPError as error:
        with error:
            if error.code in (408, 429, 500, 502, 503, 504):
                raise _Broken(f"the server says {error.code} {error.reason}") from error
            refused = _Refused(f"{asked.shown} cannot be downloaded: the server says {error.code} {error.reason}")
            refused.status = error.code
            raise refused from None
    except URLError as error:
        raise _Broken(_reason(error.reason)) from error
    except OSError as error:
        raise _Broken(_reason(error)) from error
    return response


def _reason(error: Any) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _version(response: HTTPResponse) -> str | None:
    """Return what may stand in If-Range: a strong ETag, or else the time of the last change."""
    etag = response.headers.get("ETag")
    if etag is not None and not etag.startswith("W/"):
        return str(etag)
    modified = response.headers.get("Last-Modified")
    return None if modified is None else str(modified)


# Other storage, the cache --------------------------------------------------------------------------------------------


def _from_storage(asked: Address, file: Path) -> None:
    from flambe.spec.hooks import scheme

    aside = file.with_name(file.name + ".new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    say(f"downloading {asked.shown}")
    scheme(asked.scheme).download(asked.url, aside)
    found = list(aside.iterdir())
    if not found:
        raise DownloadError(f"there is nothing at {asked.shown}")
    shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
    if len(found) == 1 and found[0].is_file() and found[0].name == asked.name:
        os.replace(found[0], file)
        aside.rmdir()
        _write_about(file.parent, {"url": asked.shown, "sha256": file_digest(file)})
    else:
        os.replace(aside, file)


def _check(asked: Address, file: Path) -> None:
    if asked.sha256 is None:
        return
    if file.is_dir():
        raise DownloadError(f"{asked.shown} is a folder, which has no checksum", hint="Leave out #sha256=….")
    found = file_digest(file)
    if found != asked.sha256:
        file.unlink()
        raise DownloadError(
            f"{asked.shown} has other bytes than it should: sha256 {found}",
            expected=asked.sha256,
            hint="Somebody changed the file, or the checksum is of another one.",
        )


def _about(folder: Path, name: str = "about.json") -> dict[str, Any]:
    try:
        return dict(json.loads((folder / name).read_text()))
    except (OSError, ValueError):
        return {}


def _write_about(folder: Path, about: dict[str, Any], name: str = "about.json") -> None:
    aside = folder / f"{name}.new"
    aside.write_text(json.dumps(about))
    os.replace(aside, folder / name)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _bar(asked: Address, total: int | None, done: int) -> Iterator[Any]:
    if level() == 0 or not stderr_is_terminal():
        say(f"downloading {asked.shown}" + (f", from byte {done} on" if done else ""))
        yield lambda size: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from flambe.cli.console import rich_console

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=rich_console(), transient=True) as progress:
        task = progress.add_task(asked.name, total=total, completed=done)
        yield lambda size: progress.advance(task, size)
