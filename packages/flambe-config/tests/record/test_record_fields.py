"""The page of the run directory has every field of a record and of the ledger, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flambe.record.checkout import Checkout
from flambe.record.run import Code, Command, Exit, Host, RunRecord, StageRecord, Times

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/run-directory.md").read_text(encoding="utf-8")
SCHEMA = json.loads((ROOT / "packages/flambe-config/src/flambe/record/schema.json").read_text(encoding="utf-8"))[
    "$defs"
]
DATA = ROOT / "packages/flambe-config/tests/data"


@pytest.mark.parametrize("kind", [RunRecord, StageRecord, Exit, Times, Command, Host, Code, Checkout])
def test_every_field_is_on_the_page(kind: type[msgspec.Struct]) -> None:
    missing = [name for name in kind.__struct_fields__ if not re.search(rf"[`.\"]{name}[`.\"]", PAGE)]
    assert missing == []


def rows(head: str) -> list[list[str]]:
    """Return the cells of the table that begins with a line."""
    lines = PAGE[PAGE.index(head) :].splitlines()[2:]
    return [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in lines[: lines.index("")]]


def names(cell: str) -> list[str]:
    """Return what a cell names; ``time.created``, ``.started`` are two of ``time``."""
    found: list[str] = []
    for name in re.findall(r"`([^`]+)`", cell):
        found.append(f"{found[0].partition('.')[0]}{name}" if name.startswith(".") else name)
    return found


@pytest.mark.parametrize(("head", "kind"), [("| of a run |", "RunRecord"), ("| of a unit |", "StageRecord")])
def test_every_name_on_the_page_is_in_the_schema(head: str, kind: str) -> None:
    named = [name for row in rows(head) for name in names(row[0])]
    assert len(named) > 10
    for name in named:
        fields: Any = SCHEMA[kind]["properties"]
        for part in name.split("."):
            assert part in fields, name
            kinds = [fields[part], *fields[part].get("anyOf", ())]
            inner = [SCHEMA[one["$ref"].rpartition("/")[2]] for one in kinds if "$ref" in one]
            fields = inner[0]["properties"] if inner else {key: {} for key in ("name", "version", "implementation")}


def test_every_field_of_the_ledgers_there_are_is_on_the_page() -> None:
    listed = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in rows("| event | fields |")}
    seen: dict[str, set[str]] = {}
    for ledger in DATA.glob("v1.*/**/ledger.jsonl"):
        for line in ledger.read_text().splitlines():
            event = json.loads(line)
            seen.setdefault(event["event"], set()).update(event.keys() - {"n", "t", "event"})
    assert {event: sorted(fields - listed[event]) for event, fields in seen.items() if fields - listed[event]} == {}
    assert set(listed) - set(seen) == {"prune"}  # of few fields, which the samples need not show
