"""A component of one's own, with a factory

put right: "..." is filled; a class of the program itself has a namespace in its tag
"""

from flambe.compile import Component, registrable_factory, yaml


def do_something(x, y):
    return x + y, x * y


class MyClass(Component, tag_namespace="snippet"):
    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = a, b
        self.steps = 0

    def run(self) -> bool:
        self.steps += 1
        continue_flag = self.steps < 3
        return continue_flag

    @registrable_factory
    @classmethod
    def special_factory(cls, x, y):
        a, b = do_something(x, y)
        return cls(a, b)


obj = yaml.load("!snippet.MyClass\n  a: val1\n  b: val2\n")()
assert (obj.a, obj.b) == ("val1", "val2")
while obj.run():
    pass
assert obj.steps == 3

special = yaml.load("!snippet.MyClass.special_factory\n  x: 2\n  y: 3\n")()
assert (special.a, special.b) == (5, 6)
assert yaml.dump(special) == "!snippet.MyClass.special_factory\nx: 2\ny: 3\n"
