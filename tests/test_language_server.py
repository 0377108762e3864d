"""The schema in the hands of a real YAML language server, which editors start: what it explains, completes and underlines.

The server is Red Hat's (``npm install -g yaml-language-server``); the tests are left out where it is not on the PATH.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flambe.compile.editor import schema_json

ROOT = Path(__file__).parent.parent
SERVER = shutil.which("yaml-language-server")
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
REVIEWS = (ROOT / "examples" / "reviews.yaml").read_text(encoding="utf-8")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        SERVER is None, reason="yaml-language-server is not installed: npm install -g yaml-language-server"
    ),
]


class Client:
    """A small editor: speaks LSP (https://microsoft.github.io/language-server-protocol) with the server over its stdio."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._folder = folder
        self._numbers = itertools.count(1)
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._faults: queue.Queue[dict[str, Any]] = queue.Queue()
        assert SERVER is not None
        self._process = subprocess.Popen([SERVER, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self._listen, daemon=True).start()
        able = {"workspace": {"configuration": True}, "textDocument": {"hover": {"contentFormat": ["markdown"]}}}
        self.ask("initialize", {"processId": os.getpid(), "rootUri": folder.as_uri(), "capabilities": able})
        self._tell("initialized", {})
        self._tell("workspace/didChangeConfiguration", {"settings": settings})

    def open(self, text: str) -> str:
        """Open a text as a new file; return its address."""
        uri = (self._folder / f"config{next(self._numbers)}.yaml").as_uri()
        self._tell(
            "textDocument/didOpen", {"textDocument": {"uri": uri, "languageId": "yaml", "version": 1, "text": text}}
        )
        return uri

    def faults(self, text: str) -> list[str]:
        """Return what the server underlines in a text."""
        uri = self.open(text)
        while True:
            found = self._faults.get(timeout=30)
            if found["uri"] == uri:
                return [f"{one['range']['start']['line'] + 1}: {one['message']}" for one in found["diagnostics"]]

    def explain(self, text: str, word: str) -> str:
        """Return what is shown over the first ``word`` of a text."""
        place = {"textDocument": {"uri": self.open(text)}, "position": self._position(text, word, 1)}
        return str(self.ask("textDocument/hover", place)["contents"]["value"])

    def complete(self, text: str, word: str) -> dict[str, str]:
        """Return what is offered after the first ``word`` of a text, and what would be put in."""
        place = {"textDocument": {"uri": self.open(text)}, "position": self._position(text, word, len(word))}
        return {one["label"]: one.get("insertText", "") for one in self.ask("textDocument/completion", place)["items"]}

    @staticmethod
    def _position(text: str, word: str, further: int) -> dict[str, int]:
        before = text[: text.index(word)]
        return {"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1 + further}

    def ask(self, method: str, parameters: dict[str, Any]) -> Any:
        number = next(self._numbers)
        self._send({"id": number, "method": method, "params": parameters})
        while (answer := self._answers.get(timeout=30))["id"] != number:
            pass
        return answer["result"]

    def _tell(self, method: str, parameters: dict[str, Any]) -> None:
        self._send({"method": method, "params": parameters})

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(data) + data)
        self._process.stdin.flush()

    def _listen(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while head := stream.readline():
            size = int(head.partition(b":")[2])
            while stream.readline().strip():
                pass
            message = json.loads(stream.read(size))
            if "method" in message and "id" in message:  # it asks for the settings
                sections = [item.get("section") for item in message["params"].get("items", [])]
                self._send({"id": message["id"], "result": [self._settings.get(section, {}) for section in sections]})
            elif message.get("method") == "textDocument/publishDiagnostics":
                self._faults.put(message["params"])
            elif "id" in message:
                self._answers.put(message)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def edit(folder: Path, file: Path | None = None) -> Client:
    """Return an editor that was set up as docs/editor.md says. file: whose extensions have tags."""
    schema = folder / "flambe.schema.json"
    schema.write_text(schema_json(None if file is None else str(file)), encoding="utf-8")
    tags = json.loads(schema.read_text(encoding="utf-8"))["x-customTags"]
    settings = {"schemas": {schema.as_uri(): ["*.yaml"]}, "customTags": tags}
    return Client(folder, {"yaml": {**settings, "hover": True, "completion": True, "validate": True}})


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    client = edit(tmp_path_factory.mktemp("editor"))
    yield client
    client.close()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_our_examples_are_not_underlined(tmp_path: Path, path: Path) -> None:
    client = edit(tmp_path, path)
    try:
        assert client.faults(path.read_text(encoding="utf-8")) == []
    finally:
        client.close()


def test_what_cannot_be_is_underlined(editor: Client) -> None:
    assert editor.faults("!Experiment\npipeline:\n  a: 5\n") != []
    assert editor.faults("!Experiment\npipeline:\n  a: !Trianer\n") == ["3: Unresolved tag: !Trianer"]


def test_an_argument_is_explained(editor: Client) -> None:
    said = editor.explain(REVIEWS, "max_steps").replace("\\", "")
    assert "!Trainer: how many steps are made; an integer; default 10" in said
    assert "default 0.001" in editor.explain(REVIEWS, "lr: 0.003")


def test_a_parameter_of_the_experiment_is_explained(editor: Client) -> None:
    assert "The stages, in the order in which they run" in editor.explain(REVIEWS, "pipeline")
    assert "how many of its best variants" in editor.explain(REVIEWS, "reduce")


def test_tags_are_completed(editor: Client) -> None:
    found = editor.complete("!Experiment\npipeline:\n  test: !Eval\n", "!Eval")
    assert {"!Evaluator", "!torch.Adam", "!TabularDataset.autogen", "!g"} <= set(found)


def test_arguments_and_parameters_are_completed(editor: Client) -> None:
    assert "max_steps" in editor.complete("!Experiment\npipeline:\n  train: !Trainer\n    max_\n", "max_")
    assert {"reduce", "schedulers", "seed"} <= set(
        editor.complete("!Experiment\npipeline:\n  a: !LabelField\nre\n", "re\n"[:2])
    )


def test_choices_are_completed(editor: Client) -> None:
    found = editor.complete("!Experiment\npipeline:\n  a: !LabelField\nordering: \n", "ordering: ")
    assert {"step", "arrival"} <= set(found)
