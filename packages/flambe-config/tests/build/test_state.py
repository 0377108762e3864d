"""States: out of objects, into files, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flambe.build.component import Component
from flambe.build.encoding import State
from flambe.build.state import LoadError, get_state, load_state, read_state, state_digest, write_state
from flambe.errors import FlambeError


class Counter(Component):
    def __init__(self, start: int = 0) -> None:
        self.count = start
        self.history = np.zeros(2)
        self.register_attrs("count", "history")


class Holder(Component):
    def __init__(self, one: Any, many: Any = (), table: Any = None) -> None:
        self.one, self.many, self.table = one, many, table
        self.seen = 0

    def _state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> Any:
        state_dict[prefix + "seen"] = self.seen
        return state_dict

    def _load_state(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[Any],
        unexpected_keys: list[Any],
        error_msgs: list[Any],
    ) -> None:
        if prefix + "seen" in state_dict:
            self.seen = state_dict[prefix + "seen"]
        else:
            missing_keys.append(prefix + "seen")


def holder() -> Holder:
    shared = Counter(2)
    return Holder(Counter(1), [shared, (Counter(3),)], {"k.ey": Counter(4), "again": shared})


def test_keys_follow_the_tree_and_shared_parts_come_once() -> None:
    made = holder()
    made.seen = 9
    state = made.get_state()
    assert {key: value for key, value in state.items() if not key.endswith("history")} == {
        "seen": 9,
        "one.count": 1,
        "many.0.count": 2,
        "many.1.0.count": 3,
        "table.k%2Eey.count": 4,
    }
    assert list(state._metadata) == ["", "one", "many.0", "many.1.0", "table.k%2Eey"]
    other = holder()
    other.one.count = other.many[0].count = other.table["k.ey"].count = 0
    other.load_state(state, strict=True)
    assert (other.seen, other.one.count, other.table["again"].count, other.table["k.ey"].count) == (9, 1, 2, 4)


def test_borrowed_objects_are_left_out() -> None:
    made = holder()
    state = get_state(made, borrowed={id(made.one)})
    assert not any(key.startswith("one.") for key in state)
    load_state(made, state, strict=True, borrowed={id(made.one)})


def test_a_back_reference_is_no_part_twice() -> None:
    child = Counter(1)
    parent = Holder(child)
    child.parent = parent  # type: ignore[attr-defined]
    assert sorted(parent.get_state()) == ["one.count", "one.history", "seen"]


def test_missing_and_unexpected_keys() -> None:
    made = Counter(1)
    state = made.get_state()
    del state["history"]
    state["other"] = 1
    made.load_state(state)
    with pytest.raises(LoadError, match="missing: history; not expected: other") as caught:
        made.load_state(state, strict=True)
    assert isinstance(caught.value, RuntimeError)


def test_complaints_of_a_class_are_errors() -> None:
    class Complains(Component):
        def _load_state(self, state_dict: Any, prefix: str, *rest: Any) -> None:
            rest[-1].append("it is raining")

    with pytest.raises(LoadError, match="it is raining"):
        Complains().load_state(State())


@pytest.mark.parametrize(
    ("saved", "now", "outcome"),
    [
        ("0.0.0", "2.0.0", "ok"),
        ("1.0.0", "2.0.0", "refused"),
        ("1.0.0", "1.1.0", "warned"),
        ("1.0.0", "1.0.1", "ok"),
        ("1.0.0", "1.0.0", "ok"),
        ("0.4.0", "0.5.0", "warned"),
        ("1.0.0", "0.0.0", "refused"),
    ],
)
def test_versions_of_classes(saved: str, now: str, outcome: str, capsys: pytest.CaptureFixture[str]) -> None:
    class Versioned(Component):
        _flambe_version = saved

    state = Versioned().get_state()
    Versioned._flambe_version = now
    if outcome == "refused":
        with pytest.raises(LoadError, match=f"Versioned was saved as version {saved}, the class here is version {now}"):
            Versioned().load_state(state)
        return
    Versioned().load_state(state)
    assert ("warning" in capsys.readouterr().err) == (outcome == "warned")


def test_what_cannot_be_saved_is_named_before_anything_is_written(tmp_path: Path) -> None:
    made = holder()
    made.table["k.ey"].count = object()
    with pytest.raises(FlambeError, match=r"table.k%2Eey.count: objects of type object cannot be saved"):
        made.get_state()
    with pytest.raises(FlambeError, match="a.b: objects of type"):
        write_state(tmp_path / "s", {"a": {"b": object()}})
    assert not (tmp_path / "s").exists()


def test_files_hold_a_state_in_a_map(tmp_path: Path) -> None:
    made = holder()
    made.one.history[:] = [0.5, np.nan]
    whole = {"component": made.get_state(), "rng": (1, [2**70]), "step": 3}
    digests = write_state(tmp_path / "7", whole)
    assert sorted(digests) == ["state.json", "state.safetensors"]
    found = read_state(tmp_path / "7", verify=True)
    assert (found["rng"], found["step"]) == ((1, [2**70]), 3)
    assert isinstance(found["component"], State)
    assert list(found["component"]._metadata) == list(whole["component"]._metadata)
    np.testing.assert_array_equal(found["component"]["one.history"], [0.5, np.nan])
    other = holder()
    other.load_state(found["component"], strict=True)
    other.one.history[0] = 8  # what was mapped can be written, and the file is not
    assert read_state(tmp_path / "7", mmap=False)["component"]["one.history"][0] == 0.5


def test_equal_states_have_equal_digests(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_state(tmp_path / name / "deep", holder().get_state())
    assert state_digest(tmp_path / "a") == state_digest(tmp_path / "b")
    changed = holder()
    changed.one.count = 5
    write_state(tmp_path / "c" / "deep", changed.get_state())
    assert state_digest(tmp_path / "c") != state_digest(tmp_path / "a")


def test_torn_and_changed_files_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write_state(folder, holder().get_state())
    tensors = folder / "state.safetensors"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-1] + b"\7")
    read_state(folder)
    with pytest.raises(LoadError, match="its SHA-256 is [0-9a-f]{64}, recorded was [0-9a-f]{64}"):
        read_state(folder, verify=True)
    tensors.write_bytes(whole[:-5])
    with pytest.raises(LoadError, match="is torn"):
        read_state(folder)
    tensors.unlink()
    with pytest.raises(LoadError, match="state.safetensors is missing"):
        read_state(folder)
    (folder / "state.json").write_text('{"half')
    with pytest.raises(LoadError, match="state.json is torn"):
        read_state(folder)
    with pytest.raises(LoadError, match="there is no saved state in"):
        read_state(tmp_path)


def test_names_of_files_may_be_others(tmp_path: Path) -> None:
    import msgspec

    write_state(tmp_path, {"w": np.arange(3)})
    tree = msgspec.json.decode((tmp_path / "state.json").read_bytes())
    (tmp_path / "state.safetensors").rename(tmp_path / "exports.safetensors")
    (tmp_path / "state.json").unlink()
    assert read_state(tmp_path, tensors="exports.safetensors", tree=tree)["w"].tolist() == [0, 1, 2]


# --- torch ---


def test_modules_tied_weights_and_optimizers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Net(Component, torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Embedding(5, 3)
            self.out = torch.nn.Linear(3, 5, bias=False)
            self.out.weight = self.embed.weight
            self.tools = torch.nn.ModuleList([torch.nn.BatchNorm1d(3)])
            self.counter = Counter(3)

    class Train(Component):
        def __init__(self, net: Any) -> None:
            self.net = net
            self.optimizer = torch.optim.Adam(net.parameters())

        def _state(self, state_dict: Any, prefix: str, local_metadata: Any) -> Any:
            state_dict[prefix + "optimizer"] = self.optimizer.state_dict()
            return state_dict

        def _load_state(self, state_dict: Any, prefix: str, *rest: Any) -> None:
            self.optimizer.load_state_dict(state_dict[prefix + "optimizer"])

    def step(train: Any) -> None:
        train.optimizer.zero_grad()
        train.net.out(train.net.tools[0](train.net.embed(torch.arange(4)))).square().mean().backward()
        train.optimizer.step()

    torch.manual_seed(0)
    train = Train(Net())
    step(train)
    write_state(tmp_path, train.get_state())
    state = read_state(tmp_path)
    assert state["net.embed.weight"] is state["net.out.weight"]
    assert list(state["optimizer"]["state"]) == [0, 1, 2]
    from safetensors import safe_open

    with safe_open(str(tmp_path / "state.safetensors"), framework="numpy") as opened:
        assert "net.out.weight" not in list(opened.keys())  # stored once

    other = Train(Net())
    other.load_state(state, strict=True)
    assert other.net.out.weight is other.net.embed.weight
    for _ in range(3):
        step(train)
        step(other)
    for left, right in zip(train.net.state_dict().values(), other.net.state_dict().values(), strict=True):
        assert torch.equal(left, right)


def test_bf16_and_scalars_of_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    value = {
        "bf16": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "scalar": torch.tensor(3),
        "none": torch.empty(0, 2),
    }
    write_state(tmp_path, value)
    found = read_state(tmp_path)
    for name, tensor in value.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert torch.equal(found[name], tensor)
