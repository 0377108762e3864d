"""docs/components.md is made of the sources that tags lead to: their signatures, defaults and docstrings.

Nothing is imported for it but the reader of ``flambe.compile``. Run this file with Python to write the page again.
"""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from flambe.compile.annotations import describe, in_full
from flambe.compile.defaults import default_of
from flambe.compile.docstrings import explained, paragraph
from flambe.compile.kinds import Kinds
from flambe.compile.library import Found, Library
from flambe.compile.signatures import KEYWORDS, REST, Signature, signature_of
from flambe.compile.source import Class
from flambe.compile.tags import short_names
from flambe.errors import ConfigError

PAGE = Path(__file__).parent.parent / "docs/components.md"

ROOMS = {
    "dataset": "tables, their splits, and the fields that make tensors of their columns",
    "field": "columns to tensors",
    "tokenizer": "text to tokens",
    "sampler": "examples to batches",
    "learn": "stages that train and measure",
    "metric": "numbers from predictions and targets; some are losses",
    "nn": "parts of models",
    "nlp": "text: data sets and whole models",
    "vision": "images: data sets and whole models",
    "model": "other whole models",
    "optim": "learning-rate schedules, and optimizers beside PyTorch's",
    "experiment": "the experiment itself",
    "pipeline": "the experiment as version 1.0 writes it",
    "search": "what chooses the variants of a stage",
    "export": "finished objects",
    "cluster": "machines; the top of a file of their own",
    "runnable": "what a running program is told",
}
FORMS = {
    "Experiment": "[its keys](spec.md#the-experiment)",
    "Pipeline": "[its keys](spec.md#the-experiment)",
    "Search": "[its keys](spec.md#algorithms)",
}
CALLED = ("forward", "compute", "process", "tokenize", "sample")
COMMON = {"Component", "Module", "Registrable", "RegisteredStatelessMap", "object"}

HEAD = """\
# Components

Every short tag, with its arguments. The page is written by `python tests/test_components.py` from the installed sources, and a test
holds it current. What the tables do not tell:

- *takes* is what `flambe-compile` checks; a link (`!@`), a search (`!g`, `!s`) or
  another component may stand wherever its value may. What a text calls `None` is YAML's `null`.
- `!Name.factory` makes the object by a class method. Every component has one more than the tables show:
  `!Name.load_from_path {path: …}` takes a [saved component](saved-component.md).
- *Links reach* names attributes of the built object that a link may end with: `!@ dataset.text.vocab_size`. Most arguments are
  attributes too. Every model and every
  part of one also has `trainable_params`, which optimizers take, `named_trainable_params`, `parameter_norm` and `gradient_norm`.
- Tags of [your own modules](writing-components.md) are written `!module.Class`.

[Rooms](#rooms) · [PyTorch](#pytorch) · [Ray Tune](#ray-tune)

## Rooms
"""


class Target(NamedTuple):
    tag: str
    target: str


@cache
def _library() -> Library:
    return Library()


@cache
def _tree(path: str) -> ast.Module:
    return ast.parse(Path(path).read_bytes(), path)


def _source(found: Found) -> ast.ClassDef:
    path = _library().file(found.module)
    assert path is not None, f"{found.module} has no source"
    for statement in _tree(path).body:
        if isinstance(statement, ast.ClassDef) and statement.name == found.name:
            return statement
    raise AssertionError(f"{found.module} has no class {found.name}")


def _found(target: str) -> Found:
    module, _, name = target.partition(":")
    found = _library().find(module, name)
    assert found is not None, f"{target} is not there"
    assert isinstance(found.item, Class), f"{target} is no class that can be read"
    return found


def _lineage(found: Found) -> list[ast.ClassDef]:
    """The class and its ancestors, without those that every component has."""
    ancestors, _ = _library().ancestors(found)
    return [_source(one) for one in ancestors if one.name not in COMMON and one.module.startswith("flambe.")]


def _methods(found: Found) -> dict[str, ast.FunctionDef]:
    methods: dict[str, ast.FunctionDef] = {}
    for one in _lineage(found):
        for statement in one.body:
            if isinstance(statement, ast.FunctionDef):
                methods.setdefault(statement.name, statement)
    return methods


def _decorators(function: ast.FunctionDef) -> set[str]:
    return {ast.unparse(one).rpartition(".")[2] for one in function.decorator_list}


def _yaml(python: str, file: str) -> str:
    """Return a default as YAML writes it. file: where it is written, for the name of a constant."""
    try:
        return json.dumps(ast.literal_eval(python), ensure_ascii=False)
    except (ValueError, TypeError):
        for statement in _tree(file).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == python:
                return _yaml(ast.unparse(statement.value), file)
            if isinstance(statement, ast.ImportFrom) and python in {alias.name for alias in statement.names}:
                origin = _library().file(statement.module or "")
                return python if origin is None else _yaml(python, origin)
        return python


def _docs(found: Found) -> list[str | None]:
    """Return the docstrings of a class, of its ancestors, and of the classes that these refer to for arguments."""
    docs: list[str | None] = []
    todo = [found]
    for one in todo:
        docs += [ast.get_docstring(statement) for statement in _lineage(one)]
        for name in re.findall(r"(?:those of|see|as in) ``(\w+)``", "\n".join(doc for doc in docs if doc)):
            other = _library().find(found.module, name)
            if other is not None and isinstance(other.item, Class) and other not in todo:
                todo.append(other)
    return docs


def _takes(type_: object) -> str:
    return describe(in_full(type_, Kinds(_library(), lambda _: None))).replace("a list of a list", "a list of lists")


def _table(signature: Signature, target: str, docs: list[str | None]) -> Iterator[str]:
    kinds = {one.kind for one in signature.forms[0]}
    parameters = [one for one in signature.forms[0] if one.kind not in (REST, KEYWORDS)]
    meanings = explained(docs, {one.name for one in parameters})
    if parameters:
        yield "| argument | takes | default | |"
        yield "|---|---|---|---|"
    for one in parameters:
        default = default_of(target, one.name, _library())
        shown = "*required*" if one.required else f"`{_yaml(default[1], default[0].file)}`" if default else "–"
        cells = [f"`{one.name}`", _takes(one.type), shown, meanings.get(one.name, "")]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    if KEYWORDS in kinds and REST not in kinds:  # with both it is the constructor that every component has
        yield "\nAnd any other argument." if parameters else "Any arguments."
    elif not parameters:
        yield "No arguments."
    yield ""


def _call(method: ast.FunctionDef) -> str:
    given = ast.parse(f"def f({ast.unparse(method.args)}): pass").body[0]
    assert isinstance(given, ast.FunctionDef)
    for one in ast.walk(given.args):
        if isinstance(one, ast.arg):
            one.annotation = None
    text = re.sub(r"^self(, )?", "", ast.unparse(given.args))
    return f"`{method.name}({text})`: {paragraph(ast.get_docstring(method))}"


def _attributes(found: Found) -> list[str]:
    """Return the names below ``Attributes`` of the docstrings of a class and its ancestors."""
    names: list[str] = []
    for statement in _lineage(found):
        section = re.split(r"\n(?<!Class )Attributes\n-+\n", ast.get_docstring(statement) or "")[1:]
        for heads in re.findall(r"(?:^|(?<=\. )|(?<=\n))((?:[a-z_]\w*, )*[a-z_]\w*):(?= )", "".join(section)):
            names += heads.split(", ")
    return names


def _entry(one: Target) -> Iterator[str]:
    found = _found(one.target)
    docs = _docs(found)
    yield f"### !{one.tag}"
    yield ""
    yield paragraph(docs[0])
    yield ""
    signature = signature_of(_library(), one.target)
    assert signature is not None, f"{one.target}: the source does not tell its arguments"
    methods = _methods(found)
    own = {statement.name for statement in _lineage(found)[0].body if isinstance(statement, ast.FunctionDef)}
    factories = [name for name in methods if name in own and "registrable_factory" in _decorators(methods[name])]
    yield from _table(signature, one.target, docs)
    for name in factories:
        target = f"{one.target}.{name}"
        made = signature_of(_library(), target)
        assert made is not None
        told = ast.get_docstring(methods[name])
        others = [ast.get_docstring(methods[other]) for other in factories if other != name]
        yield f"**`!{one.tag}.{name}`** – {paragraph(told)}"
        yield ""
        yield from _table(made, target, [told, *others, *docs])
    lines = [f"- Called as {_call(methods[name])}" for name in CALLED if name in methods]
    links = _attributes(found)
    links += [name for name, method in methods.items() if name[0] != "_" and "property" in _decorators(method)]
    links = list(dict.fromkeys(links))
    if links and not one.target.startswith("flambe.cluster:"):  # nothing links to machines
        lines.append(f"- Links reach {', '.join(f'`{name}`' for name in links)}.")
    if lines:
        yield from [*lines, ""]


def _rooms() -> dict[str, list[Target]]:
    rooms: dict[str, list[Target]] = defaultdict(list)
    for tag, target in sorted(short_names().items(), key=lambda item: item[0].lower()):
        if target.startswith("flambe."):
            rooms[target.split(":")[0].split(".")[1]].append(Target(tag, target))
    return rooms


def _library_tags(prefix: str) -> Mapping[str, list[str]]:
    modules: dict[str, list[str]] = defaultdict(list)
    for tag, target in sorted(short_names().items()):
        if tag.startswith(f"{prefix}."):
            modules[target.partition(":")[0]].append(tag)
    return dict(sorted(modules.items()))


def _elsewhere(title: str, prefix: str, words: str) -> Iterator[str]:
    yield from [f"## {title}", "", words, ""]
    for module, tags in _library_tags(prefix).items():
        yield f"`{module}`: {', '.join(f'`!{tag}`' for tag in tags)}"
        yield ""


def generated() -> str:
    """Return the page."""
    rooms = _rooms()
    unknown = rooms.keys() - ROOMS.keys()
    assert not unknown, f"say in ROOMS what {sorted(unknown)} are for"
    lines = [HEAD]
    for room, words in ROOMS.items():
        tags = ", ".join(f"[`!{one.tag}`](#{re.sub(r'[^a-z0-9_-]', '', one.tag.lower())})" for one in rooms[room])
        lines.append(f"- **[`flambe.{room}`](#flambe{room})**, {words}: {tags}")
    lines.append("")
    for room in ROOMS:
        lines += [f"## flambe.{room}", ""]
        for one in rooms[room]:
            if one.tag in FORMS:
                lines += [f"### !{one.tag}", "", f"A form of the language: {FORMS[one.tag]}.", ""]
            else:
                lines += _entry(one)
    lines += _elsewhere(
        "PyTorch",
        "torch",
        "Their arguments are PyTorch's. Other modules, optimizers, schedules and samplers of PyTorch are reached by their import path "
        "(`!torch.nn.utils.parametrizations.Name`).",
    )
    lines += _elsewhere(
        "Ray Tune",
        "ray",
        "Their arguments are Tune's; `metric`, `mode` and `time_attr` are set by flambe. `flambe-tune` drives `!ray.FIFOScheduler`, "
        "`!ray.ASHAScheduler`, `!ray.HyperBandScheduler`, `!ray.MedianStoppingRule` and `!ray.PopulationBasedTraining`, and every "
        "`!ray.…Search` whose library is installed (Optuna and HyperOpt in the tests; Nevergrad, TuneBOHB, HEBO, Ax 0.5 and bayesian-optimization by hand); it refuses the others with the reason. A search takes "
        "`trial_budget` and `max_concurrent` beside its own arguments: see [algorithms](spec.md#algorithms).",
    )
    return "\n".join(lines).rstrip() + "\n"


def test_the_committed_page_is_current() -> None:
    # Run this file with Python to write it again.
    assert PAGE.read_text(encoding="utf-8") == generated()


@pytest.mark.parametrize("one", [pytest.param(one, id=one.tag) for room in _rooms().values() for one in room])
def test_every_argument_of_a_component_is_explained(one: Target) -> None:
    if one.tag in FORMS:
        return
    try:
        signature = signature_of(_library(), one.target)
    except ConfigError as error:
        pytest.fail(str(error))
    assert signature is not None
    names = {parameter.name for parameter in signature.forms[0] if parameter.kind not in (REST, KEYWORDS)}
    told = set(explained(_docs(_found(one.target)), names))
    assert names == told, f"the docstring of {one.target} does not say what {sorted(names - told)} are"


if __name__ == "__main__":
    PAGE.write_text(generated(), encoding="utf-8")
