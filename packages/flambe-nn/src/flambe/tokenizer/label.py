"""``LabelTokenizer``."""

from __future__ import annotations

from flambe.tokenizer.tokenizer import Tokenizer


class LabelTokenizer(Tokenizer):
    """Labels of an example.

    Parameters
    ----------
    multilabel_sep: what separates them; None: the whole text is one label.
    """

    def __init__(self, multilabel_sep: str | None = None) -> None:
        self.multilabel_sep = multilabel_sep

    def tokenize(self, example: str) -> list[str]:
        """Cut a text into its labels."""
        return [example] if self.multilabel_sep is None else example.split(self.multilabel_sep)
