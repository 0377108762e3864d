"""``Tokenizer``: text to tokens."""

from __future__ import annotations

from flambe.build.component import Component


class Tokenizer(Component):
    """Base of all tokenizers."""

    immutable = True
    seedless = True

    def tokenize(self, example: str) -> list[str]:
        """Cut a text into tokens."""
        raise TypeError(f"{type(self).__name__} must implement tokenize(example)")

    def __call__(self, example: str) -> list[str]:
        """Call ``tokenize``."""
        return self.tokenize(example)
