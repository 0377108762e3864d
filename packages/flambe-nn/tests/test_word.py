"""Tokenizers, against NLTK."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nltk.tokenize import NLTKWordTokenizer

from flambe.tokenizer import CharTokenizer, LabelTokenizer, NGramsTokenizer, Tokenizer, WordTokenizer

NLTK = NLTKWordTokenizer()
OURS = WordTokenizer()
# Everything a rule mentions, and some of what it does not.
PIECES = st.sampled_from(
    [
        "a",
        "b9",
        "Can",
        "cannot",
        "gimme",
        "wanna",
        "more'n",
        "'tis",
        "'twas",
        "d'ye",
        "don't",
        "it's",
        "we'll",
        "ve",
        *list(" ..,:;'\"`«»“”‘’„?!@#$%&*()[]{}<>-—\t\néß٣_"),
        "''",
        "``",
        "--",
        "...",
        " ' ",
        "' ",
        " .",
        ". ",
        '" ',
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
@example("he said 'no'. )")
@example('" a b c "')
@example("( x . ' ) ] ”")
@example("Good muffins cost $3.88 (roughly 3,36 euros)\nin New York.  Please buy me two of them. Thanks.")
@settings(max_examples=3000, deadline=None)
def test_words_are_those_of_nltk(text: str) -> None:
    assert OURS.tokenize(text) == NLTK.tokenize(text)
    assert OURS.tokenize(text) == NLTK.tokenize(text)  # and when every word was seen before


def test_words_of_a_corpus_are_those_of_nltk() -> None:
    folder = os.environ.get("FLAMBE_DATA")
    if not folder:
        pytest.skip("FLAMBE_DATA is not set")
    lines = Path(folder, "sst2", "stsa.binary.dev").read_text(encoding="utf-8").split("\n")
    assert [OURS.tokenize(line) for line in lines] == [NLTK.tokenize(line) for line in lines]


def test_brackets_by_name() -> None:
    tokenizer = WordTokenizer(convert_parentheses=True)
    assert tokenizer("one (two) three") == ["one", "-LRB-", "two", "-RRB-", "three"]
    with pytest.raises(TypeError, match="takes convert_parentheses, not language"):
        WordTokenizer(language=True)


def test_nltk_is_not_imported() -> None:
    code = "import sys; from flambe.tokenizer import WordTokenizer; WordTokenizer()('it is .'); print('nltk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_ngrams() -> None:
    assert NGramsTokenizer(ngrams=2).tokenize("hi how are you?") == ["hi how", "how are", "are you?"]
    assert NGramsTokenizer(ngrams=[1, 3]).tokenize("hi how are") == ["hi", "how", "are", "hi how are"]
    assert NGramsTokenizer(exclude_stopwords=True).tokenize("this is the end") == ["end"]
    assert NGramsTokenizer(2, True, ["end"]).tokenize("this is the end") == ["this is", "is the"]
    assert NGramsTokenizer(ngrams=2).tokenize("one") == []
    with pytest.raises(ValueError, match="ngrams must be positive"):
        NGramsTokenizer(ngrams=0)


def test_chars_and_labels() -> None:
    assert CharTokenizer()("ab c") == ["a", "b", " ", "c"]
    assert LabelTokenizer()("A,B") == ["A,B"]
    assert LabelTokenizer(",")("A,B") == ["A", "B"]
    with pytest.raises(TypeError, match="Tokenizer must implement tokenize"):
        Tokenizer().tokenize("x")
