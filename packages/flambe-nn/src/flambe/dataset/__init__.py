"""Datasets."""

from flambe.dataset.dataset import Dataset
from flambe.dataset.tabular import TabularDataset

__all__ = ["Dataset", "TabularDataset"]
