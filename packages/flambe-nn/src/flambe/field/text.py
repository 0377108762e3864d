"""``TextField``: text to token ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, count
from typing import Any, Self, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from flambe.build.input_path import InputPath
from flambe.build.registrable import registrable_factory
from flambe.dataset.column import RaggedColumn, offsets_of
from flambe.dataset.raw import TextArray
from flambe.errors import ConfigError
from flambe.field.field import Field, as_text
from flambe.field.vectors import EmbeddingsFormat, read_vectors
from flambe.field.words import read_words
from flambe.tokenizer.tokenizer import Tokenizer
from flambe.tokenizer.word import WordTokenizer


class TextField(Field):
    """Tokenise text and number the tokens.

    Ids follow first appearance over all splits, after the special tokens in the order pad, unk, sos, eos (those that
    are not None), so padding is 0 unless there is no padding token.

    Parameters
    ----------
    tokenizer: text to tokens; default ``WordTokenizer``.
    lower: lower-case the text first.
    pad_token, unk_token, sos_token, eos_token: special tokens. sos and eos are put around each text when given. Without a padding
        token 0 is a word, and samplers pad with it unless their ``pad_index`` is another.
    embeddings: file of word vectors; ``setup`` then fills ``embedding_matrix`` for the tokens seen. A model takes them from there:
        ``embedding: !Embeddings.from_pretrained {embeddings: !@ dataset.text.embedding_matrix}``.
    embeddings_format: ``glove`` text; ``word2vec`` or ``fasttext``, text (`.vec`) or binary; ``gensim``, what its
        ``KeyedVectors.save`` wrote. fastText's binary models have a vector for every token.
    embeddings_binary: the word2vec or fastText file is binary.
    unk_init_all: a token without a vector gets a random one of the file's spread; otherwise it shares the id of unk.
    drop_unknown: leave tokens without an id out, in place of giving them that of unk.
    max_seq_len: longest sequence, with sos and eos.
    truncate_end: of a longer text keep the beginning (true) or the end (false).
    additional_special_tokens: more tokens with ids after the special ones.
    vocabulary: all tokens, or a file with one a line; ``setup`` then adds none.

    Lists of texts, to any depth, become lists of ids, which a sampler pads along every level.

    Raises
    ------
    ValueError: an unknown ``embeddings_format``, a ``max_seq_len`` that has no place for a token.

    Attributes
    ----------
    vocab: token to id.
    embedding_matrix: ``[vocab_size, E]`` or None. The row of padding is zeros.
    """

    reads_text = True

    def __init__(
        self,
        tokenizer: Tokenizer | None = None,
        lower: bool = False,
        pad_token: str | None = "<pad>",  # noqa: S107
        unk_token: str | None = "<unk>",  # noqa: S107
        sos_token: str | None = None,
        eos_token: str | None = None,
        embeddings: InputPath | None = None,
        embeddings_format: EmbeddingsFormat = "glove",
        embeddings_binary: bool = False,
        unk_init_all: bool = False,
        drop_unknown: bool = False,
        max_seq_len: int | None = None,
        truncate_end: bool = False,
        additional_special_tokens: Sequence[str] | None = None,
        vocabulary: Sequence[str] | InputPath | None = None,
    ) -> None:
        around = (sos_token is not None) + (eos_token is not None)
        if max_seq_len is not None and max_seq_len <= around:
            raise ValueError(
                f"max_seq_len is {max_seq_len}; expected at least {around + 1}, for a token beside sos and eos"
            )
        formats = get_args(EmbeddingsFormat)
        if embeddings_format not in formats:
            raise ValueError(f"embeddings_format {embeddings_format!r} is not known; expected {', '.join(formats)}")
        self.tokenizer = WordTokenizer() if tokenizer is None else tokenizer
        self.lower = lower
        self.pad_token = pad_token
        self.unk_token = unk_token
        self.sos_token = sos_token
        self.eos_token = eos_token
        self.embeddings = embeddings
        self.embeddings_format = embeddings_format
        self.embeddings_binary = embeddings_binary
        self.unk_init_all = unk_init_all
        self.drop_unknown = drop_unknown
        self.truncate_end = truncate_end
        self.fixed = vocabulary is not None
        self._room = None if max_seq_len is None else max_seq_len - around
        self.embedding_matrix: Tensor | None = None
        # Every token seen, in order of appearance: what `vocab` is made from when vectors come in.
        self._seen: dict[str, int] = {}
        self._vocab: dict[str, int] | None = self._seen
        self._saved: tuple[TextArray, npt.NDArray[np.int32] | None] | None = None
        for token in (pad_token, unk_token, sos_token, eos_token, *(additional_special_tokens or ())):
            if token is not None:
                self._seen.setdefault(token, len(self._seen))
        self._n_special = len(self._seen)
        for token in read_words(vocabulary, "vocabulary") if isinstance(vocabulary, str) else vocabulary or ():
            self._seen.setdefault(token, len(self._seen))

    @registrable_factory
    @classmethod
    def from_embeddings(
        cls,
        embeddings: InputPath,
        embeddings_format: EmbeddingsFormat = "glove",
        embeddings_binary: bool = False,
        unk_init_all: bool = False,
        drop_unknown: bool = False,
        additional_special_tokens: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make a field with word vectors; the arguments are those of the class."""
        return cls(
            embeddings=embeddings,
            embeddings_format=embeddings_format,
            embeddings_binary=embeddings_binary,
            unk_init_all=unk_init_all,
            drop_unknown=drop_unknown,
            additional_special_tokens=additional_special_tokens,
            **kwargs,
        )

    @property
    def vocab(self) -> dict[str, int]:
        """Token to id."""
        if self._vocab is None:
            # A loaded field: most users of it (its own dataset is packed already) never ask.
            assert self._saved is not None
            tokens, ids = self._saved[0].tolist(), self._saved[1]
            self._seen = {token: place for place, token in enumerate(tokens)}
            self._vocab = self._seen if ids is None else dict(zip(tokens, ids.tolist(), strict=True))
        return self._vocab

    @property
    def vocab_size(self) -> int:
        """Number of distinct ids."""
        if self._vocab is None and self._saved is not None:
            tokens, ids = self._saved
            return len(tokens) if ids is None else int(ids.max(initial=-1)) + 1
        if self.vocab is self._seen:
            return len(self._seen)
        return len(set(self.vocab.values()))

    @property
    def embedding_dim(self) -> int:
        """Numbers in a vector of ``embeddings``. Raises ConfigError when there are none (yet)."""
        if self.embedding_matrix is None:
            raise ConfigError("this TextField has no word vectors", hint="Give it `embeddings`, a file of them")
        return int(self.embedding_matrix.size(1))

    def setup(self, *data: npt.NDArray[Any]) -> None:
        """Number every token of ``data`` (arrays of texts), and read the vectors."""
        vocab = self.vocab
        seen = self._seen
        if not self.fixed:
            for token in chain.from_iterable(self._tokens(chain.from_iterable(map(_flat, data)))):
                if token not in seen:
                    seen[token] = len(seen)
        if self.embeddings is not None:
            self._read_embeddings()
        elif vocab is not seen:
            raise ValueError("this field was saved with embeddings; without them it cannot take more tokens")

    def process(self, example: Any) -> Any:
        """Text to ids, ``[S]`` int64; a list of texts to a list of those.

        Raises
        ------
        ValueError: a token that was never seen, and there is no unk token.
        """
        if isinstance(example, (list, tuple)):
            return [self.process(part) for part in example]
        ids = self._ids(next(iter(self._tokens([example]))))
        return torch.tensor(ids, dtype=torch.long)

    def pack(self, data: npt.NDArray[Any]) -> tuple[RaggedColumn, ...] | None:
        """All texts ``[N]`` to ids at once."""
        if data.ndim != 1 or any(isinstance(value, (list, tuple)) for value in data):
            return None
        rows = [self._ids(tokens) for tokens in self._tokens(data)]
        lengths = [len(row) for row in rows]
        # Stored in half the width: nobody has more than two thousand million tokens.
        values = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=sum(lengths))
        return (RaggedColumn(values, offsets_of(lengths), "int64"),)

    def _tokens(self, texts: Iterable[Any]) -> Iterable[list[str]]:
        tokenize = self.tokenizer.tokenize
        for text in texts:
            text = as_text(text)
            yield tokenize(text.lower() if self.lower else text)

    def _ids(self, tokens: list[str]) -> list[int]:
        vocab = self.vocab
        if self.drop_unknown:
            tokens = [token for token in tokens if token in vocab]
        if self._room is not None and len(tokens) > self._room:
            tokens = tokens[: self._room] if self.truncate_end else tokens[-self._room :]
        if self.sos_token is not None:
            tokens = [self.sos_token, *tokens]
        if self.eos_token is not None:
            tokens = [*tokens, self.eos_token]
        try:
            return [vocab[token] for token in tokens]
        except KeyError as missing:
            if self.unk_token is None:
                raise ValueError(
                    f"token {missing.args[0]!r} was not seen in setup, and there is no unk_token"
                ) from None
        unknown = vocab[self.unk_token]
        return [vocab.get(token, unknown) for token in tokens]

    def _read_embeddings(self) -> None:
        assert self.embeddings is not None
        seen = self._seen
        found = read_vectors(self.embeddings, self.embeddings_format, self.embeddings_binary, seen)
        size = len(next(iter(found.values())))
        spread = float(np.std(np.stack(list(found.values()))))
        # Seeded by itself: a dataset's result does not depend on the seed of the run.
        generator = np.random.default_rng(0)
        number = count()
        vocab: dict[str, int] = {}
        rows: list[npt.NDArray[np.float32]] = []
        for place, token in enumerate(seen):
            if token == self.pad_token:
                row = np.zeros(size, dtype=np.float32)
            elif token in found:
                row = found[token]
            elif place < self._n_special or self.unk_init_all or self.unk_token is None:
                row = generator.normal(0.0, spread, size).astype(np.float32)
            else:
                vocab[token] = vocab[self.unk_token]
                continue
            vocab[token] = next(number)
            rows.append(row)
        self._vocab = vocab
        self.embedding_matrix = torch.from_numpy(np.stack(rows))

    def _state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> Any:
        """Vocabulary and vectors."""
        if self._vocab is None and self._saved is not None:
            tokens, ids = self._saved
        else:
            vocab = self.vocab
            tokens = TextArray.of(list(vocab))
            ids = None if vocab is self._seen else np.fromiter(vocab.values(), dtype=np.int32, count=len(vocab))
        state_dict[prefix + "vocab_text"] = tokens.data
        state_dict[prefix + "vocab_offsets"] = tokens.offsets
        if ids is not None:
            state_dict[prefix + "vocab_ids"] = ids
        if self.embedding_matrix is not None:
            state_dict[prefix + "embedding_matrix"] = self.embedding_matrix
        return state_dict

    def _load_state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], strict: bool,
                    missing_keys: list[Any], unexpected_keys: list[Any], error_msgs: list[Any]) -> None:  # fmt: skip
        """Take vocabulary and vectors; the arrays stay where they are."""
        if prefix + "vocab_text" not in state_dict:
            missing_keys.append(prefix + "vocab_text")
            return
        tokens = TextArray(state_dict[prefix + "vocab_text"], state_dict[prefix + "vocab_offsets"])
        self._saved = (tokens, state_dict.get(prefix + "vocab_ids"))
        self._vocab = None
        matrix = state_dict.get(prefix + "embedding_matrix")
        self.embedding_matrix = None if matrix is None else torch.as_tensor(matrix)


def _flat(data: Any) -> Iterable[Any]:
    for value in data.ravel() if isinstance(data, np.ndarray) else data:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        else:
            yield value
