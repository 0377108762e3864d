"""``CharTokenizer``."""

from __future__ import annotations

from flambe.tokenizer.tokenizer import Tokenizer


class CharTokenizer(Tokenizer):
    """Every character is a token."""

    def tokenize(self, example: str) -> list[str]:
        """Cut a text into its characters."""
        return list(example)
