"""The word rules of NLTK's ``word_tokenize(text, preserve_line=True)``, without importing NLTK.

``import nltk`` takes two seconds, because it loads scipy and scikit-learn where they are installed; the rules are these
few lines. They are those of ``NLTKWordTokenizer`` in NLTK 3.10 (Apache License 2.0), which go back to Robert MacIntyre's
sed script for the Penn Treebank. A test holds that the tokens are NLTK's.
"""

from __future__ import annotations

import re

Rule = tuple[re.Pattern[str], str]

_OPENING_QUOTES: list[Rule] = [
    (re.compile(r"([«“‘„]|[`]+)"), r" \1 "),
    (re.compile(r"^\""), r"``"),
    (re.compile(r"(``)"), r" \1 "),
    (re.compile(r"([ \(\[{<])(\"|\'{2})"), r"\1 `` "),
    (re.compile(r"(?i)(?<!\w)(\')(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)"), r"\1 "),
]
_PUNCTUATION: list[Rule] = [
    # The full stop that ends the text, perhaps before closing quotes and brackets.
    (re.compile(r"([^\.])(\.)([\]\)}>\"\'»”’ ]*+)\s*$"), r"\1 \2 \3 "),
    (re.compile(r"([:,])([^\d])"), r" \1 \2"),
    (re.compile(r"([:,])$"), r" \1 "),
    (re.compile(r"\.{2,}"), r" \g<0> "),
    (re.compile(r"[;@#$%&]"), r" \g<0> "),
    (re.compile("[\u2012-\u2015]"), r" \g<0> "),
    (re.compile(r"([^\.])(\.)([\]\)}>\"\']*)\s*$"), r"\1 \2\3 "),
    (re.compile(r"[?!]"), r" \g<0> "),
    (re.compile(r"([^'])' "), r"\1 ' "),
    (re.compile(r"[*]"), r" \g<0> "),
]
_BRACKETS: list[Rule] = [(re.compile(r"[\]\[\(\)\{\}\<\>]"), r" \g<0> ")]
_BRACKET_NAMES = {"(": "-LRB-", ")": "-RRB-", "[": "-LSB-", "]": "-RSB-", "{": "-LCB-", "}": "-RCB-"}
_DASHES: list[Rule] = [(re.compile(r"--"), r" -- ")]
_CLOSING_QUOTES: list[Rule] = [
    (re.compile(r"([»”’])"), r" \1 "),
    (re.compile(r"''"), " '' "),
    (re.compile(r'"'), " '' "),
    (re.compile(r"\s+"), " "),
    (re.compile(r"([^' ])('[sS]|'[mM]|'[dD]|') "), r"\1 \2 "),
    (re.compile(r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) "), r"\1 \2 "),
]
_CONTRACTIONS: list[Rule] = [
    (re.compile(pattern), r" \1 \2 ")
    for pattern in (
        r"(?i)\b(can)(not)\b",
        r"(?i)\b(d)('ye)\b",
        r"(?i)\b(gim)(me)\b",
        r"(?i)\b(gon)(na)\b",
        r"(?i)\b(got)(ta)\b",
        r"(?i)\b(lem)(me)\b",
        r"(?i)\b(more)('n)\b",
        r"(?i)\b(wan)(na)(?=\s)",
        r"(?i) ('t)(is)\b",
        r"(?i) ('t)(was)\b",
    )
]


def treebank_words(text: str, convert_parentheses: bool = False) -> list[str]:
    """Cut a text (one sentence) into words and punctuation.

    Parameters
    ----------
    text: the text. A full stop is cut off at its end only; double quotes become ```` `` ```` and ``''``.
    convert_parentheses: write brackets as the Treebank does (``-LRB-``).
    """
    text = _apply(_OPENING_QUOTES, text)
    text = _apply(_PUNCTUATION, text)
    text = _apply(_BRACKETS, text)
    if convert_parentheses:
        for bracket, name in _BRACKET_NAMES.items():
            text = text.replace(bracket, name)
    text = f" {_apply(_DASHES, text)} "
    text = _apply(_CLOSING_QUOTES, text)
    return _apply(_CONTRACTIONS, text).split()


def _apply(rules: list[Rule], text: str) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text
