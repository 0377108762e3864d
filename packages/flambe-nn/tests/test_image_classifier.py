"""Images: the classifier, MNIST's files, scikit-learn's digits."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import flambe
from flambe.dataset.array import ArrayDataset
from flambe.errors import ConfigError
from flambe.nn import CNNEncoder, SoftmaxLayer
from flambe.sampler import BaseSampler
from flambe.vision.classification import DigitsDataset, ImageClassifier, MNISTDataset
from flambe.vision.classification.datasets import get_dataset


def idx(path: Path, array: np.ndarray, kind: int = 0x08) -> str:
    header = bytes([0, 0, kind, array.ndim]) + b"".join(struct.pack(">I", size) for size in array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))
    return str(path)


IMAGES = np.arange(10 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(10, 28, 28)
LABELS = np.arange(10, dtype=np.uint8)


def test_mnist_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mnist"
    folder.mkdir()
    files = [
        idx(folder / "train-images-idx3-ubyte.gz", IMAGES),
        idx(folder / "train-labels-idx1-ubyte.gz", LABELS),
        idx(folder / "t10k-images-idx3-ubyte.gz", IMAGES[:3]),
        idx(folder / "t10k-labels-idx1-ubyte.gz", LABELS[:3]),
    ]
    data = MNISTDataset.from_path(*files, val_ratio=0.3, seed=2)
    assert [len(data.train), len(data.val), len(data.test)] == [7, 3, 3]
    image, label = data.test[1]
    torch.testing.assert_close(image, torch.tensor(IMAGES[1:2] / 255).float())
    assert label.item() == 1
    assert label.dtype == torch.long
    assert sorted(int(label) for _, label in [*data.train, *data.val]) == list(range(10))
    again = MNISTDataset(IMAGES, LABELS, IMAGES[:3], LABELS[:3], val_ratio=0.3, seed=2)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(data.train, again.train, strict=True))
    monkeypatch.setenv("FLAMBE_DATA", str(tmp_path))
    assert len(MNISTDataset().train) == 8
    flambe.save(again, str(tmp_path / "saved"))
    loaded = flambe.load(str(tmp_path / "saved"))
    assert torch.equal(loaded.val[0][0], again.val[0][0])


def test_mnist_faults(tmp_path: Path) -> None:
    good = idx(tmp_path / "good.gz", LABELS)
    with pytest.raises(
        ValueError, match="give all four arrays or none; missing: train_labels, test_images, test_labels"
    ):
        MNISTDataset(IMAGES)
    short = tmp_path / "short.gz"
    short.write_bytes(gzip.compress(gzip.decompress(Path(good).read_bytes())[:-1]))
    plain = tmp_path / "plain.gz"
    plain.write_bytes(b"not gzipped")
    other = tmp_path / "other.gz"
    other.write_bytes(gzip.compress(b"something else"))
    for path, message in [
        (short, "cut off: its header promises"),
        (plain, "not gzipped"),
        (other, "not an IDX file"),
        (tmp_path / "none.gz", "does not exist"),
    ]:
        with pytest.raises(ConfigError, match=message):
            MNISTDataset.from_path(str(path), good, good, good)
    with pytest.raises(ValueError, match="train has 10 images and 3 labels. Are both of the same split"):
        MNISTDataset(IMAGES, LABELS[:3], IMAGES, LABELS)
    with pytest.raises(
        ValueError, match=r"test_labels have the shape \[10, 28, 28\]; expected \[N\]. Are images and labels swapped"
    ):
        MNISTDataset(IMAGES, LABELS, IMAGES, IMAGES)


def test_digits_are_learnt() -> None:
    data = DigitsDataset()
    assert [len(data.train), len(data.val), len(data.test)] == [1149, 288, 360]
    image, label = data.train[0]
    assert image.shape == (1, 8, 8)
    assert float(image.max()) <= 1
    assert label.dtype == torch.long
    assert torch.equal(DigitsDataset().test[5][0], data.test[5][0])
    assert not torch.equal(DigitsDataset(seed=1).test[5][0], data.test[5][0])

    torch.manual_seed(0)
    model = ImageClassifier(CNNEncoder(1, [8], activation=nn.ReLU(), pooling=nn.MaxPool2d(2)), SoftmaxLayer(72, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for batch in BaseSampler(64, seed=0).sample(data.train, n_epochs=5):
        optimizer.zero_grad()
        nn.functional.nll_loss(*model(*batch)).backward()
        optimizer.step()
    model.eval()
    ((pred, target),) = [model(*batch) for batch in BaseSampler(1000).sample(data.test)]
    assert (pred.argmax(1) == target).float().mean() > 0.93


def test_the_classifier_flattens() -> None:
    model = ImageClassifier(nn.Identity(), SoftmaxLayer(12, 2))
    assert model(torch.zeros(3, 1, 3, 4)).shape == (3, 2)
    pred, target = model(torch.zeros(3, 12), torch.tensor([0, 1, 0]))
    assert pred.shape == (3, 2)
    assert target.tolist() == [0, 1, 0]


def test_arrays() -> None:
    data = ArrayDataset((np.arange(4), np.eye(4)))
    assert [part.tolist() for part in data.train[-1]] == [3, [0, 0, 0, 1]]
    assert len(data.train[1:]) == 3
    assert len(data.val) == 0
    with pytest.raises(IndexError, match="no example 4: the split has 4"):
        data.train[4]
    with pytest.raises(ValueError, match=r"train has arrays of different lengths: \[2, 3\]"):
        ArrayDataset((np.arange(2), np.arange(3)))
    images, labels = zip(*get_dataset(IMAGES, LABELS), strict=True)
    assert images[0].shape == (1, 28, 28)
    assert [int(label) for label in labels] == list(range(10))
