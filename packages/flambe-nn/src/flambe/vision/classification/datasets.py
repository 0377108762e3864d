"""Datasets for image classification."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch

from flambe.build.input_path import InputPath
from flambe.build.registrable import registrable_factory
from flambe.dataset.array import ArrayDataset, draw
from flambe.dataset.location import locate
from flambe.dataset.source_file import SourceFile
from flambe.errors import ConfigError
from flambe.runner.environment import note_input

Array = npt.NDArray[Any]


class MNISTDataset(ArrayDataset):
    """Handwritten digits (LeCun et al. 1998), 28 × 28; examples ``(image [1, 28, 28] float in [0, 1], label int64)``.

    Without arrays, the four gzipped IDX files are looked for as ``mnist/train-images-idx3-ubyte.gz`` (and so on) below
    ``FLAMBE_DATA``, then in the user's cache, then downloaded.

    Parameters
    ----------
    train_images, test_images: ``[N, 28, 28]`` bytes. train_labels, test_labels: ``[N]``.
    val_ratio: share of the training images that becomes val.
    seed: of that draw; None is 0.

    Raises
    ------
    ValueError: images and labels do not belong together.
    """

    # The first publisher no longer serves the files; this mirror is the one torchvision uses.
    URL: ClassVar[str] = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    data_type: ClassVar[dict[int, Any]] = {
        0x08: np.uint8,
        0x09: np.int8,
        0x0B: np.dtype(">i2"),
        0x0C: np.dtype(">i4"),
        0x0D: np.dtype(">f4"),
        0x0E: np.dtype(">f8"),
    }
    _FILES: ClassVar[dict[str, str]] = {
        "train_images": "train-images-idx3-ubyte.gz",
        "train_labels": "train-labels-idx1-ubyte.gz",
        "test_images": "t10k-images-idx3-ubyte.gz",
        "test_labels": "t10k-labels-idx1-ubyte.gz",
    }
    _state_is_all = True

    def __init__(
        self,
        train_images: Array | None = None,
        train_labels: Array | None = None,
        test_images: Array | None = None,
        test_labels: Array | None = None,
        val_ratio: float | None = 0.2,
        seed: int | None = None,
    ) -> None:
        given = {
            "train_images": train_images,
            "train_labels": train_labels,
            "test_images": test_images,
            "test_labels": test_labels,
        }
        if any(array is None for array in given.values()):
            if any(array is not None for array in given.values()):
                missing = ", ".join(name for name, array in given.items() if array is None)
                raise ValueError(f"give all four arrays or none; missing: {missing}")
            given = {
                name: self._parse(SourceFile("mnist", file, self.URL + file).fetch())
                for name, file in self._FILES.items()
            }
        arrays = {name: np.asarray(array) for name, array in given.items()}
        for split in ("train", "test"):
            _check(split, arrays[f"{split}_images"], arrays[f"{split}_labels"])
        rest, val = draw(len(arrays["train_images"]), val_ratio or 0, seed)
        images, labels = _images(arrays["train_images"]), arrays["train_labels"].astype(np.int64)
        super().__init__(
            train=(images[rest], labels[rest]),
            val=(images[val], labels[val]),
            test=(_images(arrays["test_images"]), arrays["test_labels"].astype(np.int64)),
        )

    @registrable_factory
    @classmethod
    def from_path(
        cls,
        train_images_path: InputPath,
        train_labels_path: InputPath,
        test_images_path: InputPath,
        test_labels_path: InputPath,
        val_ratio: float | None = 0.2,
        seed: int | None = None,
    ) -> Self:
        """Read gzipped IDX files.

        Raises
        ------
        ConfigError: a file is missing or is none.
        """
        return cls(
            train_images=cls._parse(locate(train_images_path)),
            train_labels=cls._parse(locate(train_labels_path)),
            test_images=cls._parse(locate(test_images_path)),
            test_labels=cls._parse(locate(test_labels_path)),
            val_ratio=val_ratio,
            seed=seed,
        )

    @classmethod
    def _parse(cls, path: Path) -> Array:
        if not path.is_file():
            raise ConfigError(f"{path} is no file")
        note_input(path)
        try:
            data = gzip.decompress(path.read_bytes())
        except (OSError, EOFError) as error:
            raise ConfigError(f"{path} is not gzipped, or is damaged: {error}") from error
        # Two zeros, the type, the number of dimensions; then each dimension; then the numbers. All big-endian.
        if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in cls.data_type:
            raise ConfigError(f"{path} is not an IDX file")
        dims = data[3]
        shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, 4 + 4 * dims, 4))
        dtype = np.dtype(cls.data_type[data[2]])
        if len(data) != 4 + 4 * dims + int(np.prod(shape)) * dtype.itemsize:
            raise ConfigError(f"{path} is cut off: its header promises numbers of shape {list(shape)}")
        return np.frombuffer(data, dtype=dtype, offset=4 + 4 * dims).reshape(shape)


class DigitsDataset(ArrayDataset):
    """The 1,797 handwritten digits that scikit-learn ships, 8 × 8; examples ``(image [1, 8, 8] float in [0, 1],
    label int64)``. Needs no download.

    Parameters
    ----------
    val_ratio: share of what is not test that becomes val.
    test_ratio: share of all that becomes test.
    seed: of both draws; None is 0.
    """

    _state_is_all = True

    def __init__(self, val_ratio: float = 0.2, test_ratio: float = 0.2, seed: int | None = None) -> None:
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise ConfigError("DigitsDataset needs scikit-learn", hint="pip install scikit-learn") from error
        digits = load_digits()
        images = (digits.images[:, None] / 16).astype(np.float32)
        labels = digits.target.astype(np.int64)
        rest, test = draw(len(labels), test_ratio, seed)
        keep, val = draw(len(rest), val_ratio, seed)
        train, val = rest[keep], rest[val]
        super().__init__(*((images[part], labels[part]) for part in (train, val, test)))


def get_dataset(images: Iterable[Any], labels: Iterable[Any]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Arrays of images (bytes) and labels to a list of ``(image [1, …] float in [0, 1], label int64)``."""
    scaled = torch.from_numpy(_images(np.asarray(images)))
    return list(zip(scaled, torch.as_tensor(np.asarray(labels)).long(), strict=True))


def _check(split: str, images: Array, labels: Array) -> None:
    for name, array, dims, shape in (
        (f"{split}_images", images, 3, "[N, 28, 28]"),
        (f"{split}_labels", labels, 1, "[N]"),
    ):
        if array.ndim != dims:
            raise ValueError(
                f"{name} have the shape {list(array.shape)}; expected {shape}. Are images and labels swapped?"
            )
    if len(images) != len(labels):
        raise ValueError(f"{split} has {len(images)} images and {len(labels)} labels. Are both of the same split?")


def _images(images: Array) -> npt.NDArray[np.float32]:
    return images[:, None].astype(np.float32) / np.float32(255)
