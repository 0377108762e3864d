"""A package with a trainer of one's own, used by its module

put right: "..." is filled; nothing has to be installed: the folder is enough
"""

import os

from flambe.compile import yaml

os.makedirs("extension/my_ext")
SETUP = """\
from setuptools import setup, find_packages

setup(
    name='my_extension-pkg-name',
    version='1.0.0',
    packages=find_packages(), # This will install my_ext package
    install_requires=['extra_dependency==1.2.3'],
)
"""
INIT = """\
from my_ext.my_trainer import MyCustomTrainer

__all__ = ['MyCustomTrainer']
"""
TRAINER = """\
from flambe.learn import Trainer

class MyCustomTrainer(Trainer):

    def run(self):
        # Do something special here
        return False
"""
for name, text in (("setup.py", SETUP), ("my_ext/__init__.py", INIT), ("my_ext/my_trainer.py", TRAINER)):
    with open(f"extension/{name}", "w") as stream:
        stream.write(text)

schema = yaml.load("my_ext: extension\n---\n!my_ext.MyCustomTrainer\nmax_steps: 1\n")
assert schema.component_subclass.__name__ == "MyCustomTrainer"
assert [base.__name__ for base in schema.component_subclass.__mro__[1:2]] == ["Trainer"]
