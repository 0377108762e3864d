"""Another tag for a class

put right: "..." is filled
"""

from flambe.compile import Component, alias, yaml


@alias("cool_tag", tag_namespace="ext")
class MyClass(Component, tag_namespace="ext"):
    def __init__(self, x=1):
        self.x = x


assert yaml.load("!ext.cool_tag {x: 2}")().x == yaml.load("!ext.MyClass {x: 2}")().x == 2
