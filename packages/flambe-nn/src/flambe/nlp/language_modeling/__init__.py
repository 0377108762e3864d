"""Language modelling."""

from flambe.nlp.language_modeling.datasets import PTBDataset
from flambe.nlp.language_modeling.field import LMField
from flambe.nlp.language_modeling.model import LanguageModel

__all__ = ["LMField", "LanguageModel", "PTBDataset"]
