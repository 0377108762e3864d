"""A dataset of arrays

put right: all splits have as many columns; the second property is called `val`, and `dev` reads the same
"""

import numpy as np

from flambe.dataset import TabularDataset

# Random dataset
train = np.random.random((2, 10))
val = np.random.random((2, 10))
test = np.random.random((2, 10))

dataset = TabularDataset(train, val, test)

assert [len(view) for view in (dataset.train, dataset.val, dataset.test)] == [2, 2, 2]
assert dataset.dev is dataset.val
