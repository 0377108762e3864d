"""Tokenizers: text to tokens."""

from flambe.tokenizer.char import CharTokenizer
from flambe.tokenizer.label import LabelTokenizer
from flambe.tokenizer.tokenizer import Tokenizer
from flambe.tokenizer.word import NGramsTokenizer, WordTokenizer

__all__ = ["CharTokenizer", "LabelTokenizer", "NGramsTokenizer", "Tokenizer", "WordTokenizer"]
