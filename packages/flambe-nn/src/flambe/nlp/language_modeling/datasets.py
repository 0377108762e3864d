"""Published datasets for language models. Each has one column, ``text``."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import ClassVar

from flambe.dataset.source_file import SourceFile
from flambe.dataset.tabular import Transform
from flambe.errors import ConfigError
from flambe.nlp.language_modeling.corpus import Corpus


class PTBDataset(Corpus):
    """The Penn Treebank as Mikolov prepared it: 10,000 words; one column ``text``.

    Files are looked for as ``ptb/train.txt`` (``valid.txt``, ``test.txt``) below ``FLAMBE_DATA``, then in the user's
    cache, then downloaded.

    Parameters
    ----------
    cache, transform: as in ``TabularDataset``.
    split_by_line: a sentence is a row; otherwise a split is one, for ``CorpusSampler``.
    end_of_line_token: put after each sentence.
    """

    PTB_URL: ClassVar[str] = "https://raw.githubusercontent.com/yoonkim/lstm-char-cnn/master/data/ptb/"
    _state_is_all = True

    def __init__(
        self,
        cache: bool = False,
        transform: Transform | None = None,
        split_by_line: bool = True,
        end_of_line_token: str | None = None,
    ) -> None:
        names = {"train": "train.txt", "val": "valid.txt", "test": "test.txt"}
        files = {split: SourceFile("ptb", name, self.PTB_URL + name).fetch() for split, name in names.items()}
        texts = {split: file.read_text(encoding="utf-8") for split, file in files.items()}
        super().__init__(texts, split_by_line, end_of_line_token, cache, transform)


class Wiki103(Corpus):
    """WikiText-103 (Merity et al. 2017): 103 million words of good Wikipedia articles; one column ``text``.

    ``wikitext-103/wikitext-103-v1.zip`` is looked for below ``FLAMBE_DATA``, then in the user's cache, then downloaded.

    Parameters
    ----------
    cache, transform: as in ``TabularDataset``.
    split_by_line: a paragraph is a row; otherwise a split is one, for ``CorpusSampler``.
    end_of_line_token: put after each paragraph.
    remove_headers: leave out titles (``= Title =``).
    """

    WIKI_URL: ClassVar[str] = "https://s3.amazonaws.com/research.metamind.io/wikitext/wikitext-103-v1.zip"
    _state_is_all = True

    def __init__(
        self,
        cache: bool = False,
        transform: Transform | None = None,
        split_by_line: bool = True,
        end_of_line_token: str | None = "<eol>",  # noqa: S107
        remove_headers: bool = False,
    ) -> None:
        path = SourceFile("wikitext-103", "wikitext-103-v1.zip", self.WIKI_URL).fetch()
        names = {"train": "wiki.train.tokens", "val": "wiki.valid.tokens", "test": "wiki.test.tokens"}
        texts = {split: _member(path, f"wikitext-103/{name}").decode() for split, name in names.items()}
        if remove_headers:
            texts = {split: "\n".join(filter(_is_no_title, text.split("\n"))) for split, text in texts.items()}
        super().__init__(texts, split_by_line, end_of_line_token, cache, transform)


class Enwiki8(Corpus):
    """The first hundred million bytes of Wikipedia (Hutter 2006), for models of characters; one column ``text``.

    Split as is usual: 90, 5 and 5 million bytes. ``enwik8/enwik8.zip`` is looked for below ``FLAMBE_DATA``, then in the
    user's cache, then downloaded. A character is a byte (latin-1).

    Parameters
    ----------
    cache, transform: as in ``TabularDataset``; ``!CharTokenizer`` makes characters of the text.
    split_by_line: a line is a row; otherwise a split is one, for ``CorpusSampler``.
    end_of_line_token: put after each line.
    num_eval_symbols: bytes of val, and of test.
    """

    ENWIKI_URL: ClassVar[str] = "http://mattmahoney.net/dc/enwik8.zip"
    _state_is_all = True

    def __init__(
        self,
        cache: bool = False,
        transform: Transform | None = None,
        split_by_line: bool = False,
        end_of_line_token: str | None = None,
        num_eval_symbols: int = 5_000_000,
    ) -> None:
        path = SourceFile("enwik8", "enwik8.zip", self.ENWIKI_URL).fetch()
        text, held = _member(path, "enwik8").decode("latin-1"), num_eval_symbols
        if not 0 < 2 * held < len(text):
            raise ValueError(f"num_eval_symbols is {held}, and the text has {len(text)} bytes")
        texts = {"train": text[: -2 * held], "val": text[-2 * held : -held], "test": text[-held:]}
        super().__init__(texts, split_by_line, end_of_line_token, cache, transform)


def _member(path: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ConfigError(f"{path} is not the archive that was published: {error}") from error


def _is_no_title(line: str) -> bool:
    text = line.strip()
    return not (text.startswith("= ") and text.endswith(" ="))
