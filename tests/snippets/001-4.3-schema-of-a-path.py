"""A schema from the path of a file

as written
"""

import os

from flambe.compile import yaml

os.makedirs("path/to")
with open("path/to/file.yaml", "w") as stream:
    stream.write("!Accuracy")

schema = yaml.load("path/to/file.yaml")
obj = schema()

assert type(obj).__name__ == "Accuracy"
assert schema() is obj
