"""A scheduler of one's own."""

from ray.tune.schedulers import FIFOScheduler


class Picky(FIFOScheduler):
    def __init__(self, patience):
        super().__init__()
        self.left = [1, 2, 3][patience]
