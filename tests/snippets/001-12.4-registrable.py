"""A class that reads and writes its own YAML

put right: `to_yaml` returns a scalar of the object, `from_yaml` splits at the dash and makes a number (the printed one has neither)
"""

from typing import Any

from flambe.compile import Registrable, yaml


class SmartInt(Registrable, tag_namespace="ext"):
    def __init__(self, name: str, initial_value: int):
        self.name = name
        self.initial_value = initial_value  # For dumping later
        self.val = initial_value

    @classmethod
    def to_yaml(cls, representer: Any, node: Any, tag: str) -> Any:
        str_rep = f"{node.name}-{node.val}"
        return representer.represent_scalar(tag, str_rep)

    @classmethod
    def from_yaml(cls, constructor: Any, node: Any, factory_name: str) -> Any:
        str_rep = constructor.construct_scalar(node)
        name, initial_value = str_rep.split("-")
        return cls(name, int(initial_value))


stage = yaml.load("param: !ext.SmartInt my_param-9\n")
assert (stage["param"].name, stage["param"].val) == ("my_param", 9)
stage["param"].val += 1
assert yaml.dump(stage) == "param: !ext.SmartInt my_param-10\n"
