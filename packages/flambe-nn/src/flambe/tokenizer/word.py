"""``WordTokenizer`` and ``NGramsTokenizer``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flambe.tokenizer.stopwords import ENGLISH
from flambe.tokenizer.tokenizer import Tokenizer
from flambe.tokenizer.treebank import treebank_words

# No rule touches ASCII letters and digits, nor a single dash between them, except
# for these contractions, which it splits (can not, gim me, …).
_PLAIN = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\Z")
_CONTRACTED = re.compile(r"cannot|gimme|gonna|gotta|lemme|wanna", re.IGNORECASE)
_CLOSING = set("])}>\"'»”’")
_CACHE_LIMIT = 1_000_000


class WordTokenizer(Tokenizer):
    """Words and punctuation, as ``nltk.word_tokenize(text, preserve_line=True)`` cuts them. Needs neither NLTK nor its data.

    The rules look no further than a word and the spaces beside it, but for quotes at the beginning and full stops at
    the end of the text. So each word is cut once and remembered, which makes a corpus some twenty times faster.

    Parameters
    ----------
    kwargs: ``convert_parentheses`` writes brackets as the Penn Treebank does (``-LRB-``).
    """

    def __init__(self, **kwargs: bool) -> None:
        unknown = set(kwargs) - {"convert_parentheses"}
        if unknown:
            raise TypeError(f"WordTokenizer takes convert_parentheses, not {', '.join(sorted(unknown))}")
        self._convert_parentheses = kwargs.get("convert_parentheses", False)
        self._words: dict[str, list[str]] = {}
        self._ends: dict[str, list[str]] = {}

    def tokenize(self, example: str) -> list[str]:
        """Cut a text into words."""
        words = example.split(" ")
        if len(words) < 3 or words != example.split():
            # Other white space than single blanks: rules about it look at both sides.
            return self._cut(example)
        last = len(words) - 1
        while last > 0 and _CLOSING.issuperset(words[last]):
            last -= 1
        first = 0
        tokens: list[str] = []
        if not words[0][0].isalnum():
            if last == 0:
                return self._cut(example)
            tokens += self._cut(words[0] + " a")[:-1]
            first = 1
        known = self._words
        try:
            for word in words[first:last]:
                tokens += known[word]
        except KeyError:
            if len(known) > _CACHE_LIMIT:
                known.clear()
            for word in words[first:last]:
                if word not in known:
                    known[word] = self._cut_word(word)
            del tokens[:]
            if first:
                tokens += self._cut(words[0] + " a")[:-1]
            for word in words[first:last]:
                tokens += known[word]
        end = " ".join(words[last:])
        cut = self._ends.get(end)
        if cut is None:
            if len(self._ends) > _CACHE_LIMIT:
                self._ends.clear()
            cut = self._ends[end] = self._cut("a " + end)[1:]
        tokens += cut
        return tokens

    def _cut_word(self, word: str) -> list[str]:
        if _PLAIN.match(word) and not _CONTRACTED.search(word):
            return [word]
        return self._cut(f"a {word} a")[1:-1]

    def _cut(self, text: str) -> list[str]:
        return treebank_words(text, self._convert_parentheses)


class NGramsTokenizer(Tokenizer):
    """Runs of words, joined by blanks. Words are what white space separates.

    Parameters
    ----------
    ngrams: words in a run; several sizes give the runs of the first size, then of the next.
    exclude_stopwords: drop stop words before runs are made.
    stop_words: words to drop; None takes a list of English ones.
    """

    def __init__(
        self, ngrams: int | list[int] = 1, exclude_stopwords: bool = False, stop_words: Sequence[str] | None = None
    ) -> None:
        self.ngrams = ngrams
        self.exclude_stopwords = exclude_stopwords
        self.stop_words = stop_words
        self._sizes = [ngrams] if isinstance(ngrams, int) else list(ngrams)
        if not self._sizes or any(size < 1 for size in self._sizes):
            raise ValueError(f"ngrams must be positive, got {ngrams}")
        self._dropped = ENGLISH if stop_words is None else frozenset(stop_words)

    def tokenize(self, example: str) -> list[str]:
        """Cut a text into runs of words."""
        words = example.split()
        if self.exclude_stopwords:
            words = [word for word in words if word not in self._dropped]
        return [" ".join(words[start : start + size]) for size in self._sizes for start in range(len(words) - size + 1)]
