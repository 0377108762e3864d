"""Datasets for language models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from flambe.dataset.source_file import SourceFile
from flambe.dataset.tabular import TabularDataset, Transform


class PTBDataset(TabularDataset):
    """The Penn Treebank as Mikolov prepared it: 10,000 words, a sentence a row; one column ``text``.

    Files are looked for as ``ptb/train.txt`` (``valid.txt``, ``test.txt``) below ``FLAMBE_DATA``, then in the user's
    cache, then downloaded.

    Parameters
    ----------
    cache, transform: as in ``TabularDataset``.
    """

    PTB_URL: ClassVar[str] = "https://raw.githubusercontent.com/yoonkim/lstm-char-cnn/master/data/ptb/"
    _state_is_all = True

    def __init__(self, cache: bool = False, transform: Transform | None = None) -> None:
        super().__init__(
            train=self._rows("train.txt"),
            val=self._rows("valid.txt"),
            test=self._rows("test.txt"),
            cache=cache,
            named_columns=["text"],
            transform=transform,
        )

    @classmethod
    def _rows(cls, name: str) -> list[tuple[Any, ...]]:
        path: Path = SourceFile("ptb", name, cls.PTB_URL + name).fetch()
        lines = (line.strip() for line in path.read_text(encoding="utf-8").split("\n"))
        return [(line,) for line in lines if line]
