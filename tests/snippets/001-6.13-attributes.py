"""Attributes that are state

put right: "..." is filled; `self.x = x,` makes a tuple of it, which is kept as one
"""

import flambe
import flambe.nn


class MyModel(flambe.nn.Module):
    def __init__(self, x, size=2):
        super().__init__()
        self.size = size
        self.x = (x,)
        self.y = None
        self.register_attrs("x", "y")


model = MyModel(3)
model.y = "changed"
state = model.get_state()
assert (state["x"], state["y"]) == ((3,), "changed")

other = MyModel(4)
other.load_state(state)
assert (other.x, other.y) == ((3,), "changed")
