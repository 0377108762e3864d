"""The editor's page has every tag, and the schema takes every config that we ship."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "editor.md"
_BLOCK = re.compile(r"## The tags\n.*?(?P<block>```json\n.*?^```\n|\Z)", re.S | re.M)


def setting(tags: list[str]) -> str:
    """Return the block of the page that lists the tags: the language's and our components', not those of libraries."""
    tags = [tag for tag in tags if "." not in tag]
    lines = textwrap.wrap(", ".join(json.dumps(tag).replace(" ", "\0") for tag in tags), 130)
    inner = "\n".join(f"  {line}" for line in lines).replace("\0", " ")
    return f'```json\n{{"yaml.customTags": [\n{inner}\n]}}\n```\n'


def test_the_page_lists_every_tag(shell: Callable[..., Any]) -> None:
    schema = json.loads(shell("flambe-compile --schema").stdout)
    match = _BLOCK.search(PAGE.read_text(encoding="utf-8"))
    assert match is not None
    assert match["block"] == setting(schema["x-customTags"]), "run: python tests/test_editor.py"
    assert {"!@ scalar", "!g sequence", "!Trainer mapping", "!Experiment mapping"} <= set(schema["x-customTags"])


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.name) for path in sorted((ROOT / "examples").glob("*.yaml"))]
)
def test_the_schema_takes_our_examples(path: Path, shell: Callable[..., Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(shell("flambe-compile --schema").stdout)
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    for document in yaml.load_all(path.read_text(encoding="utf-8"), Loader=_Plain):
        assert [error.message for error in validator.iter_errors(document)] == []
    wrong = {"pipeline": {"a": 5}, "seed": "x"}
    assert not validator.is_valid(wrong)


class _Plain(yaml.SafeLoader):
    """Reads tagged values as the language server sees them: as text, lists and mappings."""


def _plain(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node, deep=True)


_Plain.add_multi_constructor("!", _plain)


def rewrite_page() -> None:
    """Put the tags that are installed now into the page."""
    command = [Path(sys.executable).parent / "flambe-compile", "--schema"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    source = PAGE.read_text(encoding="utf-8")
    match = _BLOCK.search(source)
    assert match is not None
    start, end = match.span("block")
    PAGE.write_text(source[:start] + setting(json.loads(done.stdout)["x-customTags"]) + source[end:], encoding="utf-8")


if __name__ == "__main__":
    rewrite_page()
