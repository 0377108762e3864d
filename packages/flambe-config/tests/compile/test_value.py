"""``flambe.compile.yaml``: a text as objects, and back as it was written."""

from __future__ import annotations

import importlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from flambe.build.component import Component
from flambe.build.link import Link
from flambe.build.registrable import MappedRegistrable, Registrable, alias, registrable_factory
from flambe.build.schema import Schema
from flambe.compile import yaml
from flambe.errors import ConfigFaults, FlambeError
from flambe.runnable import Runnable


@alias("kin", tag_namespace="t")
class Kind(Component, tag_namespace="t"):
    def __init__(self, size: int = 1, inner: Any = None) -> None:
        self.size, self.inner = size, inner

    @registrable_factory
    @classmethod
    def double(cls, size: int) -> Kind:
        return cls(size * 2)


class Named(Registrable, tag_namespace="t"):
    """A number with a name, written name-number."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number

    @classmethod
    def from_yaml(cls, constructor: Any, node: Any, factory_name: str | None = None) -> Named:
        name, number = constructor.construct_scalar(node).split("-")
        return cls(name, int(number))

    @classmethod
    def to_yaml(cls, representer: Any, node: Any, tag: str) -> Any:
        return representer.represent_scalar(tag, f"{node.name}-{node.number}")


class Nested(Registrable, tag_namespace="t"):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    @classmethod
    def to_yaml(cls, representer: Any, node: Any, tag: str) -> Any:
        return representer.represent_mapping(tag, {"items": node.items})


class Forgetful(Registrable, tag_namespace="t"):
    @classmethod
    def to_yaml(cls, representer: Any, node: Any, tag: str) -> Any:
        representer.represent_scalar(tag, "x")


class Mapped(MappedRegistrable, tag_namespace="t"):
    def __init__(self, part: Any, size: int = 2) -> None:
        self.part, self.size = part, size


class Job(Runnable, tag_namespace="t"):
    def __init__(self, stages: dict[str, Any]) -> None:
        super().__init__()
        self.stages = stages


COMMENTED = """\
# first

# second
!t.Kind  # tag
# above
size: 1  # one # two
inner:  # plain map
  # inside
  k: "a # b"  # quoted

  # after a blank line
  list:
    - 1
    # an item
    - a: 1  # map in a list
      b: 2
    - !t.Kind  # object
      # deep
      size: 3  # é
  flow: [1, 2]  # beside a list
  grid: !g  # search
    - 1  # one
    - !t.Kind  # two
      # here
      size: 4
# the end
"""


def test_what_is_read_is_written_as_it_was_with_its_comments() -> None:
    schema = yaml.load(COMMENTED)
    assert yaml.dump(schema) == COMMENTED
    stream = io.StringIO()
    assert yaml.dump(schema, stream) is None
    assert stream.getvalue() == COMMENTED


@pytest.mark.parametrize(
    ("text", "comments"),
    [
        ("!t.Kind {size: 1}  # whole\n# last\n", ["whole", "last"]),
        ("--- # start\n!t.Kind\n# c\nsize: 1\n...\n", ["start", "c"]),
        ("---\n# c\n!t.Kind\nsize: 1\n", ["c"]),
        ("!t.Kind\nsize: |  # head\n  # text\ninner: 'a\n  # b'  # end\n", ["head", "end"]),
        ("!t.Kind\nsize: [1,  # in\n  2]  # out\n", ["in", "out"]),
        ("!t.Kind\ninner:\n  - *x\n".replace("*x", "&x !t.Kind") + "  - *x  # again\n  -  # bare\n    a: 1\n", ["again", "bare"]),
        ("!t.Kind\ninner: !t.Kind\n  # of nobody else\n  size: 1\n  # below\nsize: 2\n", ["of nobody else", "below"]),
    ],
)  # fmt: skip
def test_no_comment_is_lost_or_made_up(text: str, comments: list[str]) -> None:
    written = yaml.dump(yaml.load(text))
    assert written is not None
    bare = re.sub(r'"[^"]*"', "", written)
    assert re.findall(r"# (.*)", bare) == comments
    assert yaml.dump(yaml.load(written)) == written
    assert yaml.load(written) == yaml.load(text)


def test_comments_follow_their_key() -> None:
    schema = yaml.load("!t.Kind\n# of inner\ninner: !t.Kind\n  size: 1  # of size\n# of size above\nsize: 2\n")
    del schema["size"]
    schema.inner.size = 5
    schema["extra"] = 1
    assert yaml.dump(schema) == "!t.Kind\n# of inner\ninner: !t.Kind\n  size: 5  # of size\nextra: 1\n"


def test_tags_are_those_that_were_read() -> None:
    text = "!t.kin\nsize: 1\ninner: !t.Kind.double\n  size: 2\n"
    schema = yaml.load(text)
    assert yaml.dump(schema) == text
    built = schema()
    assert built.inner.size == 4
    assert yaml.dump(built) == text
    assert yaml.dump(Kind(1)) == "!t.kin\nsize: 1\ninner: null\n", "the topmost alias where nothing was read"


def test_a_component_that_stands_twice_has_an_anchor() -> None:
    text = "a: &x !t.Kind\n  size: 1\nb: [*x, !t.Kind ]\nc: !t.Kind\n  inner: *x\n"
    read = yaml.load(text)
    assert read["a"] is read["b"][0] is read["c"].inner
    written = yaml.dump(read)
    assert written == "a: &a !t.Kind\n  size: 1\nb:\n  - *a\n  - !t.Kind\nc: !t.Kind\n  inner: *a\n"
    again = yaml.load(written)
    assert again["a"] is again["b"][0] is again["c"].inner
    assert again["a"]() is again["c"]().inner


def test_anchors_have_names_of_their_own() -> None:
    one, two = Kind.schema(size=1), Kind.schema(size=2)
    written = yaml.dump({"x": {"k": one}, "y": {"k": two}, "z": [one, two]})
    assert written is not None
    assert [word for word in written.split() if word[0] in "&*"] == ["&k", "&k_2", "*k", "*k_2"]


def test_links_of_a_built_object_are_links() -> None:
    text = "!t.Kind\ninner: !t.Kind\n  size: 3\nsize: !@ inner.size\n"
    built = yaml.load(text)()
    assert built.size == 3
    assert yaml.dump(built) == "!t.Kind\ninner: !t.Kind\n  size: 3\n  inner: null\nsize: !@ inner.size\n"
    assert built._config_str == yaml.dump(built)


def test_classes_that_read_their_own_yaml_are_made_at_once() -> None:
    read = yaml.load("!t.Kind\ninner: !t.Named my_param-9\n")
    assert (read.inner.name, read.inner.number) == ("my_param", 9)
    read.inner.number = 10
    assert yaml.dump(read) == "!t.Kind\ninner: !t.Named my_param-10\n"
    assert yaml.dump([Named("a", 1)]) == "- !t.Named a-1\n"


def test_a_to_yaml_may_hold_anything_that_can_be_dumped() -> None:
    held = Nested([Kind.schema(size=1), Link(["a"], ["b"]), "1", 1.5, Named("n", 2)])
    text = yaml.dump(held)
    assert text == '!t.Nested\nitems:\n  - !t.kin\n    size: 1\n  - !@ a.b\n  - "1"\n  - 1.5\n  - !t.Named n-2\n'
    with pytest.raises(FlambeError, match="Forgetful.to_yaml returned nothing, expected a PyYAML node. Write `return"):
        yaml.dump(Forgetful())


def test_what_is_no_component_is_made_at_once_and_remembers_its_mapping() -> None:
    mapped = yaml.load("!t.Mapped\npart: !t.Kind\n  size: 1\n")
    assert isinstance(mapped, Mapped)
    assert isinstance(mapped.part, Schema)
    assert yaml.dump(mapped) == "!t.Mapped\npart: !t.Kind\n  size: 1\n"
    assert yaml.dump(Mapped(Kind.schema(size=1), size=3)) == "!t.Mapped\npart: !t.kin\n  size: 1\nsize: 3\n"


def test_a_runnable_keeps_its_stages_as_schemas_and_its_comments() -> None:
    text = "!t.Job\nstages:\n  # the first\n  one: !t.Kind\n    size: !g [1, 2]  # two sizes\n  two: !t.Kind\n    inner: !@ one\n"
    job = yaml.load(text)
    assert isinstance(job, Job)
    assert isinstance(job.stages["one"], Schema)
    assert yaml.dump(job) == text


def test_options_hold_schemas() -> None:
    schema = yaml.load("!t.Kind\ninner: !choice [!t.Kind , !t.kin {size: 1}]\n")
    options = schema.inner
    assert len(options) == 2
    assert [type(option) for option in options] == [Schema, Schema]
    options[1].size = 7
    assert yaml.dump(schema) == "!t.Kind\ninner: !g\n  - !t.Kind\n  - !t.kin\n    size: 7\n"


def test_a_text_a_stream_or_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kind.yaml").write_text("!t.Kind\nsize: 4\n")
    with open("kind.yaml") as stream:
        assert yaml.load(stream) == yaml.load("kind.yaml") == yaml.load("!t.Kind {size: 4}")
    with pytest.raises(FileNotFoundError, match=r"kind\.yml"):
        yaml.load("kind.yml")
    Path("kind.yaml").write_text("!t.Kin\n")
    with pytest.raises(ConfigFaults, match=r"kind.yaml:1:1: unknown tag !t.Kin\b"):
        yaml.load("kind.yaml")
    assert yaml.load("") is None


def test_parents_references_and_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIND_SIZE", "7")
    (tmp_path / "base.yaml").write_text("size: 3\ninner: {a: 1}\n")
    (tmp_path / "child.yaml").write_text(
        "!t.Kind\n__default__: ./base.yaml\n# own\ninner: {b: '{size}', c: $KIND_SIZE}\n"
    )
    schema = yaml.load(str(tmp_path / "child.yaml"))
    assert schema == Kind.schema(size=3, inner={"a": 1, "b": 3, "c": 7})
    with pytest.raises(ConfigFaults, match=r"<text>:1:\d+: {sise} names nothing in this config. Did you mean '{size}'"):
        yaml.load("!t.Kind {size: 1, inner: '{sise}'}")


def test_the_header_comes_back(tmp_path: Path) -> None:
    (tmp_path / "own_kinds.py").write_text(
        "from flambe import Component\n\nclass Own(Component):\n    def __init__(self, a=1):\n        self.a = a\n"
    )
    file = tmp_path / "own.yaml"
    file.write_text("own_kinds: own_kinds.py\n---\n!own_kinds.Own\na: 2\n")
    schema = yaml.load(str(file))
    text = yaml.dump(schema)
    assert text == f"own_kinds: {tmp_path}/own_kinds.py\n---\n!own_kinds.Own\na: 2\n"
    built = yaml.load(text)()
    assert built.a == 2
    assert built._config_str == text


def test_an_experiment_needs_the_package_that_runs_it(kit: Any) -> None:
    done = kit.python("from flambe.compile import yaml\nyaml.load('!Experiment {pipeline: {}}')")
    assert "<text>:1:1: !Experiment is not there: flambe-tune is not installed. pip install flambe-tune." in done.stderr


@pytest.mark.parametrize("is_imported", [False, True])
def test_what_an_extension_has_is_a_schema_imported_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_imported: bool
) -> None:
    name = f"job_ext_{is_imported}".lower()
    (tmp_path / f"{name}.py").write_text(
        "from flambe.runnable import Runnable\n\nclass Job(Runnable):\n    def run(self):\n        return 'done'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    if is_imported:
        importlib.import_module(name)
    schema = yaml.load(f"{name}: {tmp_path}/{name}.py\n---\n!{name}.Job\n")
    assert isinstance(schema, Schema)
    assert schema().run() == "done"
