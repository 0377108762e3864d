"""The configs of the manual's first pages compile as written, where the packages they name are installed."""

from __future__ import annotations

from pathlib import Path

import pytest

import flambe
from flambe.compile import compile_file, tags
from flambe.compile.search import total

SEEDS = Path(__file__).parent / "seeds"
INSTALLED = list(flambe.__path__)  # before the toy room takes its place


@pytest.fixture(autouse=True)
def installed(toys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flambe, "__path__", INSTALLED)
    if "Trainer" not in tags.short_names():
        pytest.skip("flambe-nn is not installed: the manual's configs name its components")


@pytest.mark.parametrize(
    ("name", "variants", "stages"),
    [
        ("page1", 3, ["dataset", "model", "train", "eval"]),
        ("quickstart", 3, ["dataset", "model", "train"]),
        ("simple-exp", 1, ["dataset"]),
    ],
)
def test_a_seed_compiles(name: str, variants: int, stages: list[str]) -> None:
    spec = compile_file(SEEDS / f"{name}.yaml")
    assert [stage.name for stage in spec.stages] == stages
    assert total(spec) == variants


def test_page_one_in_full() -> None:
    spec = compile_file(SEEDS / "page1.yaml")
    train = spec.stage("train").body
    assert train["optimizer"] == {
        "$new": "torch.optim:Adam", "params": {"$link": ["train", "model"], "attr": ["trainable_params"]},
    }  # fmt: skip
    assert train["loss_fn"] == {"$new": "torch.nn:NLLLoss"}
    assert spec.stage("train").scheduler == {"$new": "ray.tune.schedulers:HyperBandScheduler"}
    assert spec.stage("model").body["embedder"]["embedding"]["$new"] == "torch.nn:Embedding"
    assert spec.stage("eval").body["model"] == {"$link": ["train"], "attr": ["model"]}
