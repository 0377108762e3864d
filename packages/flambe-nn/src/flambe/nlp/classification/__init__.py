"""Text classification."""

from flambe.nlp.classification.datasets import NewsGroupDataset, SSTDataset, TRECDataset
from flambe.nlp.classification.model import TextClassifier

__all__ = ["NewsGroupDataset", "SSTDataset", "TRECDataset", "TextClassifier"]
