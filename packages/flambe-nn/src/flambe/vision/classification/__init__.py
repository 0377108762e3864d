"""Image classification."""

from flambe.vision.classification.datasets import DigitsDataset, MNISTDataset
from flambe.vision.classification.model import ImageClassifier

__all__ = ["DigitsDataset", "ImageClassifier", "MNISTDataset"]
