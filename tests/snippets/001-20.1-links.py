"""Links among plain data; the text of a link

put right: `Link("ref_for_a.x", obj=a)` is written with its path, attributes and target
"""

from flambe.compile import Component, Link
from flambe.compile.component import activate_links, create_link_str, parse_link_str


class A(Component):
    def __init__(self, x=2):
        self.x = x


a = A(x=1)
kwargs = {"kw1": 0, "kw2": Link(["ref_for_a"], ["x"], target=a)}
assert activate_links(kwargs) == {"kw1": 0, "kw2": 1}

assert parse_link_str("obj[key1][key2].attr1.attr2") == (["obj", "key1", "key2"], ["attr1", "attr2"])
assert create_link_str(["obj", "key1", "key2"], ["attr1", "attr2"]) == "obj[key1][key2].attr1.attr2"
