"""Text classification."""

from flambe.nlp.classification.datasets import SSTDataset, TRECDataset
from flambe.nlp.classification.model import TextClassifier

__all__ = ["SSTDataset", "TRECDataset", "TextClassifier"]
