"""``CorpusDataset``: running text from files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flambe.build.input_path import InputPath
from flambe.dataset.encoding import wrong_encoding
from flambe.dataset.table_file import files_of
from flambe.dataset.tabular import TabularDataset, Transform
from flambe.errors import ConfigError
from flambe.runner.environment import note_input


class Corpus(TabularDataset):
    """Base of running text: one column, ``text``, in which a split is one row, or each of its lines is.

    Parameters
    ----------
    texts: of ``train``, and of ``val`` and ``test`` where there are any.
    split_by_line: a line is a row.
    end_of_line_token: put after each line.
    cache, transform: as in ``TabularDataset``.
    """

    _state_is_all = True

    def __init__(
        self,
        texts: Mapping[str, str],
        split_by_line: bool,
        end_of_line_token: str | None,
        cache: bool,
        transform: Transform | None,
    ) -> None:
        rows = {
            split: [(row,) for row in _rows(text, split_by_line, end_of_line_token)] for split, text in texts.items()
        }
        super().__init__(
            rows["train"], rows.get("val"), rows.get("test"), cache=cache, named_columns=["text"], transform=transform
        )


class CorpusDataset(Corpus):
    """Running text of one's own; one column ``text``. A split is one row, which ``CorpusSampler`` cuts into streams.

    Blanks around a line and empty lines are left out.

    Parameters
    ----------
    train_path, val_path, test_path: a text file each, or a folder of them, which are joined in the order of their names.
    encoding: of the files.
    split_by_line: a line is a row, for ``BaseSampler``.
    end_of_line_token: put after each line. ``WordTokenizer`` cuts signs off: one like ``<eol>`` is a token of ``NGramsTokenizer``.
    cache, transform: as in ``TabularDataset``; ``!LMField`` makes tokens of the text, and of characters with ``!CharTokenizer``.

    Raises
    ------
    ConfigError: a file is missing, has no text, or is in another encoding.
    """

    _state_is_all = True

    def __init__(
        self,
        train_path: InputPath,
        val_path: InputPath | None = None,
        test_path: InputPath | None = None,
        encoding: str = "utf-8",
        split_by_line: bool = False,
        end_of_line_token: str | None = None,
        cache: bool = True,
        transform: Transform | None = None,
    ) -> None:
        paths = {"train": train_path, "val": val_path, "test": test_path}
        texts = {split: _read(path, encoding) for split, path in paths.items() if path is not None}
        super().__init__(texts, split_by_line, end_of_line_token, cache, transform)


def _read(path: str, encoding: str) -> str:
    texts = []
    for file in files_of(path):
        note_input(file)
        try:
            texts.append(file.read_text(encoding=encoding))
        except UnicodeError as error:
            raise wrong_encoding(file, encoding) from error
    text = "\n".join(texts)
    if not text.strip():
        raise ConfigError(f"{path} has no text")
    return text


def _rows(text: str, split_by_line: bool, end_of_line_token: str | None) -> Iterable[str]:
    end = "" if end_of_line_token is None else f" {end_of_line_token}"
    lines = [line.strip() + end for line in text.split("\n") if line.strip()]
    return lines if split_by_line else [" ".join(lines)]
