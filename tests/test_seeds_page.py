"""docs/seeds.md lists the configs of other manuals from the table that drives their test.

Run this file with Python to write the tables again.
"""

from __future__ import annotations

import csv
from collections import Counter
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/seeds.md"
SEEDS = "packages/flambe-config/tests/compile/seeds"
BEGIN, END = "<!-- configs, written by tests/test_seeds_page.py -->\n", "<!-- end of configs -->\n"


def generated() -> str:
    with (ROOT / SEEDS / "index.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    counts = Counter(row["result"] for row in rows)
    said = {
        "as written": "compile as they were printed",
        "put right": "compile after what the table says was put right",
        "no config": "are no configs of `flambe-compile`",
    }
    text = (
        f"{len(rows)} blocks: "
        + ", ".join(f"{counts[key]} {words}" for key, words in said.items() if counts[key])
        + ".\n"
    )
    for manual, group in groupby(rows, key=lambda row: row["manual"]):
        text += f"\n### {manual[0].upper()}{manual[1:]}\n\n| section | shows | result |\n|---|---|---|\n"
        for row in group:
            link = f"[{row['shows']}](../{SEEDS}/{row['file']}.yaml)"
            result = row["result"] if row["result"] == "as written" else f"{row['result']}: {row['why']}"
            variants = f", {row['variants']} variants" if row["variants"] not in ("", "1") else ""
            text += f"| {row['section']} | {link}{variants} | {result} |\n"
    return text


def page() -> str:
    """Return the page with its tables written again."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + "\n" + generated() + "\n" + END + rest.split(END)[1]


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/test_seeds_page.py"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
