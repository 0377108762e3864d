"""The documented functions around downloads; see ``flambe.compile.download`` for how they are done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flambe.compile.download import DownloadError, download, exists, fetch


@contextmanager
def download_manager(path: str, destination: str | os.PathLike[str] | None = None) -> Iterator[Path]:
    """Give the local path of a file: of a local one its own, of ``http(s)://`` and ``s3://`` that of the cached copy.

    destination: put a copy there instead. Raises ``DownloadError``; FileNotFoundError for a local path that is not there.
    """
    if "://" not in path:
        local = Path(path).expanduser()
        if not local.exists():
            raise FileNotFoundError(f"there is no file {local}")
        yield local
    elif destination is None:
        yield fetch(path)
    else:
        download(path, Path(destination))
        yield Path(destination)


def download_http_file(url: str, destination: str | os.PathLike[str]) -> None:
    """Download one file. Raises ``DownloadError``."""
    download(url, Path(destination))


def download_s3_file(url: str, destination: str | os.PathLike[str]) -> None:
    """Download one object of S3. Raises ``DownloadError``, FlambeError when nothing here reads S3."""
    download(url, Path(destination))


def download_s3_folder(url: str, destination: str | os.PathLike[str]) -> None:
    """Download all objects below an address of S3 into a new folder. Raises as ``download_s3_file``."""
    download(url, Path(destination))


def http_exists(url: str) -> bool:
    """Whether the server has something at ``url``. Raises ``DownloadError`` when it cannot be asked."""
    return exists(url)


def s3_exists(url: str) -> bool:
    """Whether any object is at or below ``url``."""
    return exists(url)


__all__ = [
    "DownloadError",
    "download_http_file",
    "download_manager",
    "download_s3_file",
    "download_s3_folder",
    "http_exists",
    "s3_exists",
]
