"""The page of the run directory names every field of a record."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from flambe.record.checkout import Checkout
from flambe.record.run import Code, Command, Exit, Host, RunRecord, StageRecord, Times

PAGE = Path(__file__).parents[4] / "docs/run-directory.md"


@pytest.mark.parametrize("kind", [RunRecord, StageRecord, Exit, Times, Command, Host, Code, Checkout])
def test_every_field_is_on_the_page(kind: type[msgspec.Struct]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    missing = [name for name in kind.__struct_fields__ if not re.search(rf"[`.\"]{name}[`.\"]", text)]
    assert missing == []
