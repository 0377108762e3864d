"""The torch codec, through the hook that the floor finds."""

from __future__ import annotations

import mmap
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from flambe.build.encoding import Decoder, Encoder
from flambe.errors import ConfigError, FlambeError
from flambe.learn import TorchCodec
from flambe.learn.torch_codec import _DTYPES
from flambe.spec.hooks import Tensor, codecs

CODEC = TorchCodec()


def sample(dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor([[0, 1, 1], [1, 0, 1]], dtype=torch.uint8).to(dtype)


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (
        a.dtype == b.dtype and a.shape == b.shape and bytes(CODEC.tensor_of(a).data) == bytes(CODEC.tensor_of(b).data)
    )


def test_the_floor_finds_the_codec() -> None:
    assert isinstance(codecs()["torch"], TorchCodec)


@pytest.mark.parametrize("name", list(_DTYPES))
def test_every_type_comes_back(name: str) -> None:
    value = sample(_DTYPES[name])
    stored = CODEC.tensor_of(value)
    assert (stored.dtype, stored.shape) == (name, (2, 3))
    for data in (memoryview(bytes(stored.data)), memoryview(bytearray(stored.data))):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            back = CODEC.to_value(Tensor(stored.dtype, stored.shape, data), "torch")
        assert same_bits(back, value)


def test_a_tensor_that_has_to_be_copied_is_stored_once() -> None:
    """As those of a GPU have to be: what is tied there stays tied."""
    whole = torch.arange(12.0).view(3, 4)
    column = whole.t()
    other = (whole + 0).t()
    encoder = Encoder()
    tree = encoder.encode({"a": column, "b": whole.t(), "c": other, "d": whole.t()[1:], "e": whole}, "")
    names = {key: node["$tensor"] for key, node in tree.items()}
    assert names == {"a": "a", "b": "a", "c": "c", "d": "d", "e": "e"}
    for key, value in Decoder(encoder.tensors).decode(tree).items():
        assert torch.equal(value, {"a": column, "b": column, "c": other, "d": column[1:], "e": whole}[key])


def test_every_torch_type_of_safetensors_is_covered() -> None:
    known = set(_DTYPES.values())
    for name in ("bfloat16", "float16", "bool", "int8", "int16", "int32", "int64", "uint8", "float8_e4m3fn"):
        assert getattr(torch, name) in known


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (2, 3, 4)])
def test_shapes(shape: tuple[int, ...]) -> None:
    value = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    back = CODEC.to_value(CODEC.tensor_of(value), "torch")
    assert back.shape == value.shape
    assert torch.equal(back, value)


def test_views_are_stored_in_c_order() -> None:
    value = torch.arange(12.0).view(3, 4).t()[1:, ::2]
    assert torch.equal(CODEC.to_value(CODEC.tensor_of(value), "torch"), value)
    conjugate = torch.tensor([1 + 2j], dtype=torch.complex64).conj()
    assert torch.equal(CODEC.to_value(CODEC.tensor_of(conjugate), "torch"), conjugate)


def test_nothing_is_copied_without_need(tmp_path: Path) -> None:
    value = nn.Parameter(torch.arange(6.0))
    stored = CODEC.tensor_of(value)
    with torch.no_grad():
        value[0] = 7
    assert CODEC.to_value(stored, "torch")[0] == 7

    file = tmp_path / "data"
    file.write_bytes(bytes(stored.data))
    with file.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    tensor = CODEC.to_value(Tensor("F32", (6,), memoryview(mapped)), "torch")
    assert tensor.data_ptr() == torch.frombuffer(mapped, dtype=torch.uint8).data_ptr()
    tensor[0] = 3  # private to this process
    assert file.read_bytes() == bytes(stored.data)


def test_read_only_memory_is_copied() -> None:
    data = bytes(bytearray(8))
    tensor = CODEC.to_value(Tensor("F32", (2,), memoryview(data)), "torch")
    tensor += 1
    assert data == bytes(8)


def test_misaligned_memory() -> None:
    data = bytearray(b"\0" + bytes(CODEC.tensor_of(torch.tensor([1.5, 2.5])).data))
    assert CODEC.to_value(Tensor("F32", (2,), memoryview(data)[1:]), "torch").tolist() == [1.5, 2.5]


def test_what_is_no_tensor() -> None:
    assert CODEC.tensor_of([1.0]) is None
    assert not CODEC.is_module(torch.ones(1))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (torch.eye(2).to_sparse(), "sparse"),
        (torch.ones(1, dtype=torch.complex128), "complex128"),
        (torch.empty(1, device="meta"), "meta device"),
        (nn.LazyLinear(2).weight, "no shape yet"),
    ],
)
def test_what_cannot_be_stored(value: torch.Tensor, text: str) -> None:
    with pytest.raises(FlambeError, match=text):
        CODEC.tensor_of(value)


def test_bad_stored_tensors() -> None:
    with pytest.raises(FlambeError, match="no type F4"):
        CODEC.to_value(Tensor("F4", (2,), memoryview(b"ab")), "torch")
    with pytest.raises(FlambeError, match=r"2 bytes came for a F32 tensor of shape \[2\]; expected 8 bytes"):
        CODEC.to_value(Tensor("F32", (2,), memoryview(b"ab")), "torch")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
        self.register_buffer("kept", torch.zeros(1))
        self.register_buffer("left", torch.zeros(1), persistent=False)
        self.inner = nn.Linear(2, 3)
        self.again = self.inner
        self.register_module("none", None)


def test_a_module_has_its_own_state_only() -> None:
    net = Net()
    assert CODEC.is_module(net)
    assert list(CODEC.own_state(net)) == ["scale", "kept"]
    assert [name for name, _ in CODEC.children(net)] == ["inner", "again"]
    assert list(CODEC.own_state(net.inner)) == ["weight", "bias"]


def test_state_goes_in_place() -> None:
    net, norm = Net(), nn.BatchNorm1d(2)
    scale = net.scale
    CODEC.load_own_state(net, {"scale": torch.full((2,), 5.0), "kept": torch.ones(1)})
    assert net.scale is scale
    assert scale.tolist() == [5, 5]
    assert net.kept.item() == 1
    norm(torch.randn(4, 2))
    fresh = nn.BatchNorm1d(2)
    CODEC.load_own_state(fresh, CODEC.own_state(norm))
    assert fresh.num_batches_tracked == 1
    assert torch.equal(fresh.running_mean, norm.running_mean)


def test_extra_state_of_a_module() -> None:
    class Counter(nn.Module):
        count = 0

        def get_extra_state(self) -> dict[str, int]:
            return {"count": self.count}

        def set_extra_state(self, state: dict[str, int]) -> None:
            self.count = state["count"]

    counter = Counter()
    counter.count = 3
    fresh = Counter()
    CODEC.load_own_state(fresh, CODEC.own_state(counter))
    assert fresh.count == 3


def test_state_that_does_not_fit() -> None:
    net = Net()
    with pytest.raises(ConfigError, match=r"Net: scale: saved with shape \[3\], the module has \[2\]"):
        CODEC.load_own_state(net, {"scale": torch.ones(3), "kept": torch.ones(1)})
    with pytest.raises(ConfigError, match="kept: not in the saved state; extra: the module has no such state"):
        CODEC.load_own_state(net, {"scale": torch.ones(2), "extra": torch.ones(1)})


def test_random_numbers_go_on_where_they_were() -> None:
    CODEC.seed(2**70 + 3)
    first = torch.rand(3)
    state = CODEC.rng_state()
    expected = torch.rand(3)
    CODEC.set_rng_state({"cpu": CODEC.to_value(CODEC.tensor_of(state["cpu"]), "torch")})
    assert torch.equal(torch.rand(3), expected)
    CODEC.seed(2**70 + 3)
    assert torch.equal(torch.rand(3), first)


def test_prepare_undoes_what_an_earlier_unit_set() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        CODEC.prepare(threads=1)
        assert torch.get_num_threads() == 1
        assert torch.ones(1).dtype == torch.float32
        assert torch.is_grad_enabled()
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.set_num_threads(threads)


def test_memory_of_a_state_is_taken_over_where_nobody_else_sees_it() -> None:
    def loaded(layer: nn.Linear, **options: Any) -> tuple[bool, nn.Linear]:
        state = {"weight": torch.randn(200, 200), "bias": torch.randn(200)}
        weight, values, place = layer.weight, state["weight"].clone(), state["weight"].data_ptr()
        CODEC.load_own_state(layer, state, **options)
        assert layer.weight is weight, "optimizers and ties hold the parameter"
        assert torch.equal(layer.weight, values)
        return layer.weight.data_ptr() == place, layer

    assert loaded(nn.Linear(200, 200), take=True)[0]
    assert not loaded(nn.Linear(200, 200))[0], "it is copied unless somebody says that it may be taken"
    layer = nn.Linear(200, 200)
    view = layer.weight.detach()[:2]
    assert not loaded(layer, take=True)[0]
    assert torch.equal(view, layer.weight[:2])
    half = nn.Linear(200, 200).bfloat16()
    state = {"weight": torch.ones(200, 200), "bias": torch.ones(200)}
    CODEC.load_own_state(half, state, take=True)
    assert half.weight.dtype == torch.bfloat16
