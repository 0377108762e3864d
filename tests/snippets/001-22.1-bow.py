"""A field of counted words

put right: the vocabulary is the attribute `vocab`; the result is a row of shares for it, and not the numbers of the words
"""

from flambe.field import BoWField

f = BoWField(min_freq=2, normalize=True)
f.setup(["thank you", "thank you very much", "thanks a lot"])
assert [word for word in f.vocab.keys() if not word.startswith("<")] == ["thank", "you"]

row = f.process("thank you really. You help was awesome")
assert len(row) == f.vocab_size
assert abs(float(row.sum()) - 1) < 1e-6
