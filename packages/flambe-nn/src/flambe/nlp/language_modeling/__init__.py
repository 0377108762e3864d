"""Language modelling."""

from flambe.nlp.language_modeling.corpus import CorpusDataset
from flambe.nlp.language_modeling.datasets import Enwiki8, PTBDataset, Wiki103
from flambe.nlp.language_modeling.field import LMField
from flambe.nlp.language_modeling.model import LanguageModel
from flambe.nlp.language_modeling.sampler import CorpusSampler

__all__ = ["CorpusDataset", "CorpusSampler", "Enwiki8", "LMField", "LanguageModel", "PTBDataset", "Wiki103"]
