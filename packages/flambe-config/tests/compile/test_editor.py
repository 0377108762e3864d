"""The JSON Schema for editors, of the toy room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flambe.compile.editor import custom_tags, schema


def test_the_tags_come_with_the_kinds_of_value_they_may_have() -> None:
    tags = custom_tags()
    assert {"!Encoder scalar", "!Encoder mapping", "!Encoder sequence", "!toy.Sgd mapping"} <= set(tags)
    assert {"!@ scalar", "!g sequence", "!s sequence", "!Experiment mapping", "!link scalar"} <= set(tags)
    assert len(set(tags)) == len(tags)
    assert "!torch.Any scalar" not in tags


def test_a_tag_has_its_arguments() -> None:
    found = schema()["definitions"]["Encoder"]
    assert found["title"] == "!Encoder"
    assert found["required"] == ["input_size"]
    assert found["additionalProperties"] is False
    assert found["properties"]["rnn_type"]["anyOf"][0] == {"enum": ["lstm", "gru", "sru"]}
    assert found["properties"]["input_size"]["description"] == "an integer; required"
    assert found["properties"]["n_layers"]["default"] == 1
    assert schema()["definitions"]["Anything"]["additionalProperties"] is True


def test_an_argument_says_who_has_it() -> None:
    arguments = schema()["definitions"]["component"]["properties"]
    assert arguments["max_steps"]["description"].startswith("!Coach, !Trainer: an integer; default 10")
    assert "!Classifier, !Encoder, !MyClassifier: a number; default 0" in arguments["dropout"]["description"]
    assert arguments["precision"]["anyOf"][0] == {"enum": [16, 32]}


def test_the_extensions_of_a_file_have_tags_too(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        'from typing import Any\n\nclass Thing:\n    """A thing.\n\n    size: how large it is.\n    """\n\n'
        "    def __init__(self, size: int = 3) -> None: ...\n"
    )
    (tmp_path / "c.yaml").write_text("mine: ./mine.py\n---\n!mine.Thing\n")
    found = json.loads(kit.command("flambe.compile.cli", "c.yaml", "--schema", cwd=tmp_path).stdout)
    assert {"!mine.Thing scalar", "!mine.Thing mapping"} <= set(found["x-customTags"])
    assert found["definitions"]["mine.Thing"]["description"] == "A thing. (mine.Thing)"
    assert found["definitions"]["mine.Thing"]["properties"]["size"] == {
        "description": "how large it is; an integer; default 3",
        "anyOf": [{"type": "integer"}, {"type": ["string", "array", "object", "null"]}],
        "default": 3,
    }
    assert "mine.Any" not in found["definitions"]


def test_the_command_needs_no_file(kit: Any) -> None:
    done = kit.command("flambe.compile.cli", "--schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == schema()
    missing = kit.command("flambe.compile.cli")
    assert missing.returncode == 2
    assert "Missing argument 'FILE'" in missing.stderr
