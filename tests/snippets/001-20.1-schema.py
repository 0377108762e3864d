"""One schema, one object

put right: `t3` has the 3, and not `t1`, which was made before
"""

from flambe.compile import Component, Schema


class Test(Component):
    def __init__(self, x=2):
        self.x = x


tp = Schema(Test)
t1 = tp()
t2 = tp()
assert t1 is t2  # the same Schema always gives you same obj
tp = Schema(Test)  # create a new Schema
tp["x"] = 3
t3 = tp()
assert t3.x == 3  # dot notation works as well
assert (t1.x, tp.x) == (2, 3)
