"""Start-up: milliseconds of every ``--help`` and of compiling a small file, beside ``python -c pass``.

    python benchmarks/startup.py [--rounds 15] [--json]

Whole processes, wall clock, the median of N rounds. The commands take turns, so a busy moment hits all of them alike.
The peer is ``python -c pass``; ``click, yaml`` is Python with the two libraries that no command here can do without.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIN = Path(sys.executable).parent
COMMANDS = ["flambe", *(f"flambe-{name}" for name in ["compile", "train", "tune", "cluster", "report", "build"])]
SMALL = """\
!Experiment
name: small
pipeline:
  dataset: !SSTDataset
    transform:
      text: !TextField
      label: !LabelField
  model: !TextClassifier
    embedder: !Embedder
      embedding: !torch.Embedding
        num_embeddings: !@ dataset.text.vocab_size
        embedding_dim: 300
      encoder: !PooledRNNEncoder
        input_size: 300
        rnn_type: lstm
        n_layers: !g [2, 3, 4]
        hidden_size: 256
    output_layer: !SoftmaxLayer
      input_size: !@ model[embedder][encoder].rnn.hidden_size
      output_size: !@ dataset.label.vocab_size
"""


def seconds(argv: list[str]) -> float:
    """Run a command to its end and return its wall time. Raises CalledProcessError when it fails."""
    start = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    # Where bytecode may not be written every start would compile again, and that is not what users have.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "small.yaml")
        file.write_text(SMALL, encoding="utf-8")
        rows = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "click, yaml": [sys.executable, "-c", "import click, yaml"],
            **{f"{name} --help": [str(BIN / name), "--help"] for name in COMMANDS},
            "flambe-compile small.yaml": [str(BIN / "flambe-compile"), str(file)],
        }
        for argv in rows.values():  # caches warm, bytecode written
            seconds(argv)
        times: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(options.rounds):
            for name, argv in rows.items():
                times[name].append(seconds(argv))
    medians = {name: 1000 * statistics.median(found) for name, found in times.items()}
    if options.json:
        print(json.dumps(medians))
    else:
        base = medians["python -c pass"]
        print(f"{'command':28}{'ms':>7}{'x python':>10}")
        for name, value in medians.items():
            print(f"{name:28}{value:7.0f}{value / base:10.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
