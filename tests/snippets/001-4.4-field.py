"""A field: set up, process

put right: with this data the numbers are 2 and 7, and not 6 and 1
"""

import numpy as np

from flambe.field import TextField
from flambe.tokenizer import WordTokenizer

# Random dataset
data = np.array(["Flambe is awesome", "This framework rocks!"])
text_field = TextField(WordTokenizer())

# Setup the entire dataset to build vocab.
text_field.setup(data)
assert text_field.vocab_size == 9

assert text_field.process("Flambe rocks").tolist() == [2, 7]
