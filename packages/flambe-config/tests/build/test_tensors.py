"""safetensors files: equal to the library's, whole or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flambe.build.digester import Digester
from flambe.build.tensors import TornFile, array_tensor, begin_tensors, read_tensors, tensor_array, write_tensors
from flambe.spec.digest import file_digest
from flambe.spec.hooks import Tensor


def tensor(array: object) -> Tensor:
    found = array_tensor(np.asarray(array))
    assert found is not None
    return found


def some() -> dict[str, Tensor]:
    return {
        "b": tensor(np.arange(6, dtype="f4").reshape(2, 3)),
        "a": tensor(np.arange(3, dtype="i8")),
        "flags": tensor(np.array([True, False, True])),
        "scalar": tensor(np.float64(2.5)),
        "nothing": tensor(np.empty((0, 4), "f2")),
        "half": Tensor("BF16", (2,), memoryview(b"\x80\x3f\x00\x40")),
    }


def test_a_file_reads_as_the_library_reads_it(tmp_path: Path) -> None:
    from safetensors import safe_open

    path = tmp_path / "x.safetensors"
    assert write_tensors(path, some()) == file_digest(path)
    with safe_open(str(path), framework="numpy") as opened:
        assert sorted(opened.keys()) == sorted(some())
        assert opened.get_tensor("b").tolist() == [[0, 1, 2], [3, 4, 5]]
        assert opened.get_tensor("scalar").shape == ()


def test_the_library_writes_the_same_bytes(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    arrays = {"w": np.arange(6, dtype="f4").reshape(2, 3), "n": np.arange(3, dtype="i8"), "m": np.ones(3, "u1")}
    save_file(arrays, tmp_path / "theirs")
    write_tensors(tmp_path / "ours", {name: tensor(array) for name, array in arrays.items()})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("mmap", [True, False])
def test_what_was_written_is_read(tmp_path: Path, mmap: bool) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, some())
    found = read_tensors(path, mmap=mmap)
    assert {name: (one.dtype, one.shape, bytes(one.data)) for name, one in found.items()} == {
        name: (one.dtype, one.shape, bytes(one.data)) for name, one in some().items()
    }
    array = tensor_array(found["b"])
    array[0, 0] = 9  # a page of its own: the file stays as it is
    assert tensor_array(read_tensors(path)["b"])[0, 0] == 0


def test_equal_tensors_give_equal_files(tmp_path: Path) -> None:
    first = write_tensors(tmp_path / "1", some())
    assert write_tensors(tmp_path / "2", dict(reversed(some().items()))) == first


@pytest.mark.parametrize("most_held", [1 << 30, 1 << 24])
def test_digests_of_many_large_files_are_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_held: int
) -> None:
    """More of them than are computed at once, small ones among them; also where few of them may wait."""
    monkeypatch.setattr("flambe.build.digester._MOST_HELD", most_held)
    with Digester() as digester:
        ends = {}
        for number in range(24):
            array = np.full((1 << 20 if number % 3 else 3, 2), number, "f4")
            ends[tmp_path / str(number)] = begin_tensors(
                tmp_path / str(number), {"a": tensor(array), "b": tensor(array[:1])}, digester
            )
        found = {path: end() for path, end in reversed(ends.items())}
    assert found == {path: file_digest(path) for path in ends}


def test_arrays_without_a_copy_where_they_are_contiguous() -> None:
    array = np.arange(4.0)
    found = array_tensor(array)
    assert found is not None
    array[0] = 7
    assert tensor_array(found)[0] == 7
    assert tensor_array(tensor(np.arange(6).reshape(2, 3).T)).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert tensor_array(tensor(np.arange(3, dtype=">i4"))).tolist() == [0, 1, 2]
    assert array_tensor(np.array(["text"])) is None


@pytest.mark.parametrize("cut", [0, 5, 30, -1])
def test_a_torn_file_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, some())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(TornFile, match="x.safetensors is torn"):
        read_tensors(path)


def test_a_file_with_a_wrong_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for header, rest in [
        (b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}', b"\0" * 4),
        (b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}', b"\0" * 8),
        (b'{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}', b"\0" * 4),
        (b'{"a": 3}', b""),
        (b"[]", b""),
        (b"{}", b"more"),
    ]:
        path.write_bytes(len(header).to_bytes(8, "little") + header + rest)
        with pytest.raises(TornFile):
            read_tensors(path)
