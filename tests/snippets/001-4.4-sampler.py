"""A sampler of batches

as written
"""

import numpy as np

from flambe.dataset import TabularDataset
from flambe.sampler import BaseSampler

dataset = TabularDataset(np.random.random((2, 10)))

sampler = BaseSampler(batch_size=4)
batches = 0
for batch in sampler.sample(dataset):
    assert [len(column) for column in batch] == [2] * 10
    batches += 1
assert batches == 1
