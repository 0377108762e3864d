"""A real S3 endpoint on loopback, and a saved component written by hand."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from flambe.spec.digest import file_digest


def write_component(folder: Path, *, value: float = 1.0, name: str = "Engine") -> Path:
    """Write a saved component of one part below the root, as docs/saved-component.md describes it."""
    for path, kind, parts in ((folder, name, ["model"]), (folder / "model", "Model", [])):
        path.mkdir(parents=True)
        save_file({"weight": np.full((2, 3), value, dtype=np.float32)}, path / "state.safetensors")
        (path / "state.json").write_text("{}")
        files = {file: file_digest(path / file) for file in ("state.safetensors", "state.json")}
        config: dict[str, Any] = {"$new": f"engine:{kind}"}
        manifest = {
            "flambe_component": "1.0",
            "class": f"engine:{kind}",
            "factory": None,
            "version": "0.0.0",
            "config": config,
            "parts": parts,
            "extensions": {"engine": "engine.py"},
            "files": files,
        }
        (path / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def write() -> Callable[..., Path]:
    """``write_component``, for tests that need a second one."""
    return write_component


@pytest.fixture
def component(tmp_path: Path) -> Path:
    return write_component(tmp_path / "component")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Start moto's HTTP server on a free loopback port and return its address."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a client of an endpoint that holds one empty bucket, ``models``."""
    import boto3

    settings = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    for bucket in client.list_buckets()["Buckets"]:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
            for item in page.get("Contents", ()):
                client.delete_object(Bucket=bucket["Name"], Key=item["Key"])
        client.delete_bucket(Bucket=bucket["Name"])
    client.create_bucket(Bucket="models")
    return client
