"""SSTDataset, TRECDataset and NewsGroupDataset, and where their files come from."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import pickle
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flambe.dataset.source_file import SourceFile
from flambe.errors import ConfigError, FlambeError
from flambe.field import LabelField, TextField
from flambe.nlp.classification import NewsGroupDataset, SSTDataset, TRECDataset

needs_data = pytest.mark.skipif(not os.environ.get("FLAMBE_DATA"), reason="FLAMBE_DATA is not set")


@needs_data
def test_sst() -> None:
    data = SSTDataset(transform={"text": TextField(), "label": LabelField()})
    assert [len(data.train), len(data.val), len(data.test)] == [6920, 872, 1821]
    assert data.label.vocab_size == 2
    assert set(data.label.vocab) == {"0", "1"}
    assert data.train.raw[0].tolist() == [
        "a stirring , funny and finally transporting re-imagining of beauty and the beast and 1930s horror films", "1",
    ]  # fmt: skip
    assert "crème brûlée" in data.test.raw[1][0]


@needs_data
def test_trec() -> None:
    data = TRECDataset(transform={"text": TextField(), "label": LabelField()})
    assert [len(data.train), len(data.val), len(data.test)] == [5452, 0, 500]
    assert data.label.vocab_size == 6


def test_news_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What scikit-learn keeps of them, of two groups and four texts."""
    utils = pytest.importorskip("sklearn.utils")
    kept = {
        split: utils.Bunch(
            data=[f"{split} about {name}" for name in ("cars", "space")], target=np.array([0, 1]),
            target_names=["rec.autos", "sci.space"], filenames=np.array(["a/1", "b/2"]),
        )
        for split in ("train", "test")
    }  # fmt: skip
    (tmp_path / "20news-bydate_py3.pkz").write_bytes(zlib.compress(pickle.dumps(kept)))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    data = NewsGroupDataset(transform={"text": TextField(), "label": LabelField()})
    assert sorted(map(tuple, data.train.raw.tolist())) == [
        ("train about cars", "rec.autos"), ("train about space", "sci.space"),
    ]  # fmt: skip
    assert [len(data.val), len(data.test)] == [0, 2]
    assert set(data.label.vocab) == {"rec.autos", "sci.space"}


def test_lines_are_label_and_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "sst2"
    folder.mkdir()
    for split in ("train", "dev", "test"):
        (folder / f"stsa.fine.{split}").write_text("3 it is\x85fine\r\n\n0 no\n", encoding="utf-8")
    monkeypatch.setenv("FLAMBE_DATA", str(tmp_path))
    assert SSTDataset(binary=False).train.raw.tolist() == [["it is\x85fine", "3"], ["no", "0"]]
    (folder / "stsa.fine.dev").write_text("3\n")
    with pytest.raises(ConfigError, match=r"stsa.fine.dev, line 1: expected a label, a blank and a text, got '3'"):
        SSTDataset(binary=False)


# --- downloads ---


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files with ranges; breaks off after ``limit`` bytes, once."""

    content = bytes(range(256)) * 1000
    limit: int | None = None
    ranges: list[str | None] = []

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        Handler.ranges.append(asked)
        start = int(asked[6:-1]) if asked else 0
        if start >= len(self.content):
            self.send_error(416)
            return
        body = self.content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if Handler.limit is not None:
            body, Handler.limit = body[: Handler.limit], None
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.delenv("FLAMBE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Handler.limit, Handler.ranges = None, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/x"
    server.shutdown()
    thread.join()
    server.server_close()


GOOD = hashlib.sha256(Handler.content).hexdigest()


def test_a_download_is_kept(url: str) -> None:
    source = SourceFile("set", "x", url, GOOD)
    path = source.fetch()
    assert path == source.cache_path()
    assert path.read_bytes() == Handler.content
    assert source.fetch() == path
    assert len(Handler.ranges) == 1
    assert not list(path.parent.glob("*.part"))


def test_a_broken_download_goes_on(url: str) -> None:
    source = SourceFile("set", "x", url, GOOD)
    Handler.limit = 100_000
    with pytest.raises(FlambeError, match=r"set/x is not on this machine and cannot be downloaded"):
        source.fetch()
    assert source.fetch().read_bytes() == Handler.content
    assert Handler.ranges == [None, "bytes=100000-"]


def test_a_whole_part_needs_no_byte_more(url: str) -> None:
    source = SourceFile("set", "x", url, GOOD)
    source.cache_path().parent.mkdir(parents=True)
    source.cache_path().with_name("x.part").write_bytes(Handler.content)
    assert source.fetch().read_bytes() == Handler.content


def test_a_wrong_checksum_leaves_nothing(url: str) -> None:
    source = SourceFile("set", "x", url, "0" * 64)
    with pytest.raises(FlambeError, match=f"gave a file with sha256 {GOOD}, not 000"):
        source.fetch()
    assert not list(source.cache_path().parent.iterdir())


def test_offline_says_what_to_place_where(url: str, tmp_path: Path) -> None:
    source = SourceFile("sst2", "stsa.binary.train", "http://127.0.0.1:9/none")
    with pytest.raises(FlambeError) as caught:
        source.fetch()
    text = str(caught.value)
    assert "Place the file as sst2/stsa.binary.train below the folder that FLAMBE_DATA names" in text
    assert str(source.cache_path()) in text
    assert str(tmp_path) in text


def test_flambe_data_comes_first(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine" / "set").mkdir(parents=True)
    (tmp_path / "mine" / "set" / "x").write_bytes(b"mine")
    monkeypatch.setenv("FLAMBE_DATA", str(tmp_path / "mine"))
    assert SourceFile("set", "x", url, GOOD).fetch().read_bytes() == b"mine"
    assert Handler.ranges == []
