"""Text is fast: SST-2 by a whole ``flambe-train`` beside a careful script without flambe (``text_peer.py``).

Usage: FLAMBE_DATA=… python benchmarks/text.py [--pairs N] [--epochs N] [--threads N]

Whole processes, from start to the accuracy on the test set, in alternating order and with another seed for each pair. Ours has a
sparse embedding and ``DeferredAdam``, whose weights are those of Adam but for rounding. Prints the pairs on stderr, and the
medians of flambe seconds / script seconds, by the wall clock and by the processor, which a busy machine disturbs less, and the mean
accuracies.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def body(stage: str, epochs: int) -> Any:
    """Return a stage's part of the spec."""

    def link(*path: str, attr: list[str]) -> dict[str, Any]:
        return {"$link": list(path), "attr": attr}

    held = {"$new": "flambe.sampler:BaseSampler", "batch_size": 256, "shuffle": False, "bucket": True}
    parts: dict[str, dict[str, Any]] = {
        "dataset": {
            "$new": "flambe.nlp.classification:SSTDataset",
            "transform": {
                "text": {"$new": "flambe.field:TextField", "tokenizer": {"$new": "flambe.tokenizer:NGramsTokenizer"}},
                "label": {"$new": "flambe.field:LabelField"},
            },
        },
        "train": {
            "$new": "flambe.learn:Trainer",
            "dataset": {"$link": ["dataset"]},
            "train_sampler": {"$new": "flambe.sampler:BaseSampler", "batch_size": 32, "bucket": True},
            "val_sampler": held,
            "model": {
                "$new": "flambe.nlp.classification:TextClassifier",
                "embedder": {
                    "$new": "flambe.nn:Embedder",
                    "embedding": {
                        "$new": "torch.nn:Embedding",
                        "num_embeddings": link("dataset", attr=["text", "vocab_size"]),
                        "embedding_dim": 300,
                        "padding_idx": 0,
                        "sparse": True,
                    },
                    "encoder": {
                        "$new": "flambe.nn:PooledRNNEncoder", "input_size": 300, "hidden_size": 256, "rnn_type": "gru",
                    },
                    "embedding_dropout": 0.5,
                },
                "output_layer": {"$new": "flambe.nn:SoftmaxLayer", "input_size": 256, "output_size": 2},
                "dropout": 0.5,
            },
            "loss_fn": {"$new": "torch.nn:NLLLoss"},
            "metric_fn": {"$new": "flambe.metric:Accuracy"},
            "optimizer": {
                "$new": "flambe.optim:DeferredAdam", "params": link("train", "model", attr=["trainable_params"]),
            },
            "max_grad_norm": 5.0,
            "max_steps": epochs,
        },
        "eval": {
            "$new": "flambe.learn:Evaluator",
            "dataset": {"$link": ["dataset"]},
            "model": link("train", attr=["model"]),
            "metric_fn": {"$new": "flambe.metric:Accuracy"},
            "eval_sampler": held,
        },
    }  # fmt: skip
    return parts[stage]


def measured(command: list[str], cwd: str) -> tuple[float, float, str]:
    """Run a process: wall seconds, processor seconds, its last line."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="seed of the first pair")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    data = Path(os.environ["FLAMBE_DATA"], "sst2").resolve()
    walls, processors, ours, theirs = [], [], [], []
    for pair in range(arguments.first, arguments.first + arguments.pairs):
        found: dict[str, tuple[float, float, str]] = {}
        for way in ("flambe", "script") if pair % 2 else ("script", "flambe"):
            with tempfile.TemporaryDirectory() as folder:
                if way == "script":
                    options = [str(data), str(arguments.epochs), str(pair), str(arguments.threads)]
                    found[way] = measured([sys.executable, "-P", str(HERE / "text_peer.py"), *options], folder)
                else:
                    stages = [
                        {"name": name, "body": body(name, arguments.epochs)} for name in ("dataset", "train", "eval")
                    ]
                    stages[1]["resources"] = {"cpus": arguments.threads}
                    spec = {"flambe_spec": "1.0", "name": "text", "seed": pair, "stages": stages}
                    Path(folder, "spec.json").write_text(json.dumps(spec))
                    found[way] = measured([sys.executable, "-P", "-m", "flambe.learn.cli", "-q", "spec.json"], folder)
        walls.append(found["flambe"][0] / found["script"][0])
        processors.append(found["flambe"][1] / found["script"][1])
        ours.append(next(json.loads(line)["metric"] for line in found["flambe"][2].splitlines() if '"eval"' in line))
        theirs.append(json.loads(found["script"][2])["test"])
        took = {way: [round(seconds, 2) for seconds in each[:2]] for way, each in found.items()}
        print(json.dumps({"pair": pair, **took, "accuracy": ours[-1], "script_accuracy": theirs[-1]}), file=sys.stderr)
    print(
        json.dumps({"benchmark": "text", "wall": round(statistics.median(walls), 3), "processor": round(statistics.median(processors), 3),
                    "accuracy": round(statistics.mean(ours), 4), "script_accuracy": round(statistics.mean(theirs), 4),
                    "pairs": arguments.pairs, "epochs": arguments.epochs, "threads": arguments.threads})
    )  # fmt: skip


if __name__ == "__main__":
    main()
