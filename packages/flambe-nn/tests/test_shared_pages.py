"""Processes that load one saved dataset share its pages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import flambe
from flambe.dataset import TabularDataset
from flambe.field import LabelField, TextField
from flambe.tokenizer import NGramsTokenizer

READER = """
import sys, flambe
from flambe.sampler import BaseSampler
data = flambe.load(sys.argv[1])
for batch in BaseSampler(256).sample(data.train): pass
size = {}
name = None
for line in open('/proc/self/smaps'):
    words = line.split()
    if not words[0].endswith(':'): name = words[5] if len(words) > 5 else None  # a mapping begins, maybe of no file
    if name and name.startswith(sys.argv[1]) and line.startswith(('Rss', 'Anonymous')):
        size[line.split(':')[0]] = size.get(line.split(':')[0], 0) + int(line.split()[1])
print(size.get('Rss', 0), size.get('Anonymous', 0))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's /proc")
def test_batches_are_read_from_shared_pages(tmp_path: Path) -> None:
    rows = [(" ".join(str((i * j) % 997) for j in range(60)), str(i % 2)) for i in range(20_000)]
    fields = {"text": TextField(NGramsTokenizer()), "label": LabelField()}
    flambe.save(TabularDataset(rows, transform=fields), str(tmp_path / "saved"))
    run = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path / "saved")], capture_output=True, text=True, check=True
    )
    resident_kb, copied_kb = map(int, run.stdout.split())
    assert resident_kb > 4_000, "the token ids (4.8 MB) were read through the mapped file"
    assert copied_kb == 0, "no page of it was copied"
