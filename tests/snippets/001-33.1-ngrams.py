"""Words in pairs

put right: the results; the printed ones have a comma and blanks too many
"""

from flambe.tokenizer import NGramsTokenizer

t = NGramsTokenizer(ngrams=2).tokenize("hi how are you?")
assert t == ["hi how", "how are", "are you?"]

t = NGramsTokenizer(ngrams=[1, 2]).tokenize("hi how are you?")
assert t == ["hi", "how", "are", "you?", "hi how", "how are", "are you?"]
