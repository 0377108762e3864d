"""Saved components with torch in them: modules by tag, modules in modules, ties, optimizers, schedulers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flambe
from flambe.build.builder import Scope, build
from flambe.build.component import Component
from flambe.build.made import made_of
from flambe.build.registrable import target_of
from flambe.build.saved import save_component
from flambe.build.schema import Schema
from flambe.build.state import state_digest
from flambe.errors import FlambeError

torch = pytest.importorskip("torch")


class Encoder(Component, torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, size: int) -> None:
        super().__init__()
        self.rnn = torch.nn.GRU(size, size)
        self.label = "first"
        self.register_attrs("label")


class Model(Component, torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, embedding: Any, encoder: Any, output: Any, *, tie: bool = False) -> None:
        super().__init__()
        self.embedding, self.encoder, self.output = embedding, encoder, output
        self.blocks = torch.nn.ModuleList([Encoder(2), torch.nn.Sequential(torch.nn.Linear(2, 2), Encoder(2))])
        if tie:
            self.output.weight = self.embedding.weight

    @property
    def trainable_params(self) -> Any:
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def forward(self, tokens: Any) -> Any:
        states, _ = self.encoder.rnn(self.embedding(tokens))
        return self.output(states)


class Train(Component):
    def __init__(self, model: Any, loss: Any, optimizer: Any, scheduler: Any = None) -> None:
        self.model, self.loss, self.optimizer, self.scheduler = model, loss, optimizer, scheduler

    def run(self) -> bool:
        tokens = torch.arange(4).reshape(4, 1)
        self.optimizer.zero_grad()
        self.loss(self.model(tokens).reshape(4, -1), tokens.reshape(4)).backward()
        self.optimizer.step()
        self.scheduler.step()
        return True

    def _state(self, state_dict: Any, prefix: str, local_metadata: Any) -> Any:
        state_dict[prefix + "optimizer"] = self.optimizer.state_dict()
        state_dict[prefix + "scheduler"] = self.scheduler.state_dict()
        return state_dict

    def _load_state(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        self.optimizer.load_state_dict(state_dict[prefix + "optimizer"])
        self.scheduler.load_state_dict(state_dict[prefix + "scheduler"])


def node(**more: Any) -> dict[str, Any]:
    return {
        "$new": target_of(Train),
        "model": {
            "$new": target_of(Model),
            "embedding": {"$new": "torch.nn:Embedding", "num_embeddings": 5, "embedding_dim": 3},
            "encoder": {"$new": target_of(Encoder), "size": 3},
            "output": {"$new": "torch.nn:Linear", "in_features": 3, "out_features": 5},
            **more,
        },
        "loss": {"$new": "torch.nn:CrossEntropyLoss"},
        "optimizer": {
            "$new": "torch.optim:Adam",
            "params": {"$link": ["train", "model"], "attr": ["trainable_params"]},
            "lr": 0.1,
        },
        "scheduler": {
            "$new": "torch.optim.lr_scheduler:StepLR",
            "optimizer": {"$link": ["train", "optimizer"]},
            "step_size": 1,
        },
    }


def trained(**more: Any) -> Any:
    torch.manual_seed(3)
    train = build(node(**more), scope=Scope(stage="train"))
    train.run()
    return train


def test_a_trainer_goes_on_where_it_was(tmp_path: Path) -> None:
    train = trained()
    parts = save_component(train, tmp_path / "it")
    assert parts[id(train.model.embedding)] == "model/embedding"
    config = json.loads((tmp_path / "it" / "manifest.json").read_text())["config"]
    assert config["optimizer"]["$new"] == "torch.optim:Adam"
    assert config["optimizer"]["params"] == {"$saved": "model", "attr": ["trainable_params"]}
    assert config["scheduler"]["optimizer"] == {"$link": ["optimizer"]}
    back = flambe.load(tmp_path / "it")
    assert back.scheduler.optimizer is back.optimizer
    for _ in range(3):
        train.run()
        back.run()
    for left, right in zip(train.model.parameters(), back.model.parameters(), strict=True):
        assert torch.equal(left, right)
    save_component(train, tmp_path / "one")
    save_component(back, tmp_path / "two")
    assert state_digest(tmp_path / "one") == state_digest(tmp_path / "two")


def test_every_module_of_a_tag_is_a_folder(tmp_path: Path) -> None:
    train = trained()
    train.model.blocks[1][1].label = "changed"
    save_component(train, tmp_path / "it")
    folders = sorted(
        str(path.parent.relative_to(tmp_path / "it" / "model"))
        for path in (tmp_path / "it" / "model").rglob("manifest.json")
    )
    assert folders == [".", "blocks.0", "blocks.1.1", "embedding", "encoder", "output"]
    embedding = flambe.load(tmp_path / "it" / "model" / "embedding")
    assert type(embedding) is torch.nn.Embedding
    assert torch.equal(embedding.weight, train.model.embedding.weight)
    model = flambe.load(tmp_path / "it" / "model")
    assert model.blocks[1][1].label == "changed"
    assert torch.equal(model.blocks[1][0].weight, train.model.blocks[1][0].weight)
    assert (tmp_path / "it" / "model" / "embedding" / "version.txt").read_text() == "Embedding:0.0.0\n"
    assert not (tmp_path / "it" / "model" / "embedding" / "source.py").exists()


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    train = trained(tie=True)
    save_component(train, tmp_path / "it")
    model = flambe.load(tmp_path / "it" / "model")
    assert model.output.weight is model.embedding.weight
    assert torch.equal(model.output.weight, train.model.embedding.weight)


def test_a_loaded_model_owns_its_memory(tmp_path: Path) -> None:
    train = trained()
    save_component(train, tmp_path / "it")
    before = state_digest(tmp_path / "it")
    back = flambe.load(tmp_path / "it")
    with torch.no_grad():
        for parameter in back.model.parameters():
            parameter.zero_()
    back.run()
    assert state_digest(tmp_path / "it") == before


def test_python_makes_modules_by_schema(tmp_path: Path) -> None:
    linear = Schema(torch.nn.Linear, in_features=2, out_features=2)()
    made = made_of(linear)
    assert made is not None
    flambe.save(linear, tmp_path / "it")
    assert torch.equal(flambe.load(tmp_path / "it", map_location="cpu").weight, linear.weight)
    model = Model(torch.nn.Linear(1, 1), Encoder(1), None)
    with pytest.raises(
        FlambeError, match=r"embedding: a torch.nn.modules.linear.Linear that was made in plain Python.*Schema\(Linear"
    ):
        flambe.save(model, tmp_path / "other")


def test_torch_is_loaded_only_where_there_is_torch(tmp_path: Path) -> None:
    (tmp_path / "no_torch.py").write_text(
        "from flambe.build.component import Component\n"
        "class Light(Component):\n    def __init__(self, n):\n        self.n = n\n"
    )
    code = (
        "import sys, flambe, no_torch; flambe.save(no_torch.Light(2), 'it'); "
        "assert flambe.load('it').n == 2; print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
