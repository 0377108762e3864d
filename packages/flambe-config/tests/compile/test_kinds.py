"""Arguments that are objects: the class a tag makes and what a link gives, against what the signature asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SOURCE = """
from __future__ import annotations

import abc
import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Dict, Generic, List, Optional, Protocol, Type, TypeVar, Union

from elsewhere import Unreadable
from flambe.build.component import Component
from mine import tools
from mine.tools import Tool, Tool as Alias

T = TypeVar("T")
Size = int
Either = Union[Tool, int]
raise ImportError("never imported")


class Saw(Tool):
    weight: float

    def __init__(self, teeth: int = 3, handle: str | None = None) -> None:
        self.teeth = teeth
        self.handle = handle
        self.changed = teeth
        handle = "worn"
        self.inner: Nail = Nail()

    def sharpen(self) -> None:
        self.changed = "sharp"

    @property
    def price(self) -> Optional[int]: ...

    @property
    def unknown(self): ...

    @classmethod
    def of_steel(cls) -> Tool: ...

    @classmethod
    def nail(cls) -> Nail: ...


class Nail:
    size: int


class FretSaw(Saw):
    @property
    def weight(self): ...


class Odd(Unreadable): ...


class Bag(Component):
    def __init__(self, transform: dict[str, Any] | None = None) -> None:
        for name, value in (transform or {}).items():
            setattr(self, name, value)


class Holds(Protocol):
    def hold(self) -> None: ...


class Hand:
    def hold(self): ...

    @classmethod
    def left(cls) -> Nail: ...


class Loose(metaclass=enum.EnumMeta): ...


def make_nail() -> Nail: ...


class Box(Generic[T]):
    def __init__(
        self, tool: Tool | None = None, *, many: List[Tool] = (), named: Dict[str, Tool] = {}, kind: Type[Tool] = Tool,
        either: Union[Tool, int] = 1, alias: Alias = None, far: tools.Tool = None, text: str = "", number: int = 1,
        real: float = 1, holds: Holds = None, loose: Loose = None, any_: Any = None, t: T = None, size: Size = 1,
        unreadable: Unreadable = None, call: Callable[[], None] = None, each: Iterable[Tool] = (), box: Box[int] = None,
        both: Either = 1, where: Path = None, bag: Bag = None, three: tuple[Tool, int] = None, string: "Tool" = None,
    ) -> None: ...
"""


@pytest.fixture
def faults(kit: Any, tmp_path: Path) -> Any:
    """Return a function from the argument of a Box to the faults that it has."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text(SOURCE)
    (tmp_path / "mine" / "tools.py").write_text("class Tool:\n    length: int\n    def __init__(self): ...\n")

    def run(argument: str, before: str = "") -> list[str]:
        start = f"mine: {tmp_path}\n---\n!Experiment\nname: t\npipeline:\n" + "".join(
            f"  {line}\n" for line in before.splitlines()
        )
        from flambe.compile import compile_text
        from flambe.errors import ConfigFaults

        try:
            compile_text(f"{start}  box: !mine.Box\n    {argument}\n", name="t")
        except ConfigFaults as error:
            return [str(fault).split(":", 2)[2].partition(": ")[2] for fault in error.faults]
        return []

    return run


WRONG = [
    ("tool: !mine.Nail", ["box.tool: a Nail came; expected mine.tools.Tool or null"]),
    ("many: [!mine.Saw , !mine.Nail ]", ["box.many[1]: a Nail came; expected mine.tools.Tool"]),
    ("many: !mine.Nail", ["many of Box is an object of Nail; expected a list of Tool"]),
    ("named: {a: !mine.Nail }", ["box.named[a]: a Nail came; expected mine.tools.Tool"]),
    ("kind: !mine.Saw", ["box.kind: a Saw came; expected a class"]),
    ("either: !mine.Nail", ["box.either: a Nail came; expected mine.tools.Tool or an integer"]),
    ("alias: !mine.Nail", ["box.alias: a Nail came; expected mine.tools.Tool or null"]),
    ("far: !mine.Nail", ["box.far: a Nail came; expected mine.tools.Tool or null"]),
    ("string: !mine.Nail", ["box.string: a Nail came; expected mine.tools.Tool or null"]),
    ("each: [!mine.Nail ]", ["box.each[0]: a Nail came; expected mine.tools.Tool"]),
    ("box: !mine.Nail", ["box.box: a Nail came; expected mine.Box or null"]),
    ("three: [!mine.Nail , 1]", ["box.three[0]: a Nail came; expected mine.tools.Tool"]),
    ("tool: !mine.make_nail", ["box.tool: make_nail gives a Nail; expected mine.tools.Tool or null"]),
    ("tool: !mine.Saw.nail", ["box.tool: Saw.nail gives a Nail; expected mine.tools.Tool or null"]),
    (
        "tool: !g [!mine.Saw , !mine.Nail , !mine.Box ]",
        ["box.tool: a Nail came; expected mine.tools.Tool or null", "box.tool: a Box came; expected mine.tools.Tool or null"],
    ),
    ("size: !mine.make_nail", ["box.size: make_nail gives a Nail; expected an integer"]),
    ("both: !mine.Nail", ["box.both: a Nail came; expected mine.tools.Tool or an integer"]),
    ("bag: sack", ["bag of Box is the text 'sack'; expected mine.Bag or null. Objects are written with a tag."]),
    ("holds: !mine.Nail", ["box.holds: a Nail came; expected an object with hold or null"]),
    ("holds: 5", ["holds of Box is 5; expected an object with hold or null"]),
    ("bag: !g [!mine.Bag , 3]", ["bag of Box is 3; expected mine.Bag or null"]),
]  # fmt: skip


@pytest.mark.parametrize(("argument", "expected"), WRONG, ids=[argument for argument, _ in WRONG])
def test_an_object_of_another_class_is_found(faults: Any, argument: str, expected: list[str]) -> None:
    assert faults(argument) == expected


@pytest.mark.parametrize(
    "argument",
    [
        "tool: !mine.Saw",
        "tool: !mine.FretSaw",
        "tool: !mine.Saw.of_steel",
        "tool: null",
        "tool: !mine.Odd",
        "tool: 5",
        "either: 5",
        "either: !mine.Saw",
        "many: [!mine.Saw , !mine.tools.Tool ]",
        "holds: !mine.Hand",
        "holds: !mine.Odd",
        "holds: !mine.Hand.left",
        "loose: !mine.Nail",
        "any_: !mine.Nail",
        "t: !mine.Nail",
        "unreadable: !mine.Nail",
        "call: !mine.Nail",
        "where: !mine.Nail",
        "bag: !mine.Bag",
        "bag: null",
        "box: !mine.Box",
        "kind: null",
    ],
)
def test_what_fits_or_cannot_be_told_passes(faults: Any, argument: str) -> None:
    assert faults(argument) == []


SAW = "saw: !mine.Saw {teeth: 3}\nbag: !mine.Bag {transform: {saw: !mine.Saw , pair: [!mine.Nail , 1], n: 1}}"
LINKS = [
    ("tool: !@ bag", ["box.tool: the link 'bag' gives a Bag; expected mine.tools.Tool or null"]),
    ("text: !@ saw.teeth", ["box.text: the link 'saw.teeth' gives an integer; expected text"]),
    ("text: !@ saw[teeth]", ["box.text: the link 'saw[teeth]' gives an integer; expected text"]),
    ("text: !@ saw.price", ["box.text: the link 'saw.price' gives an integer or null; expected text"]),
    ("number: !@ saw.weight", ["box.number: the link 'saw.weight' gives a number; expected an integer"]),
    ("tool: !@ saw.inner", ["box.tool: the link 'saw.inner' gives a Nail; expected mine.tools.Tool or null"]),
    ("text: !@ saw.inner.size", ["box.text: the link 'saw.inner.size' gives an integer; expected text"]),
    ("text: !@ saw.length", ["box.text: the link 'saw.length' gives an integer; expected text"]),
    ("tool: !@ bag.pair", ["box.tool: the link 'bag.pair' gives a Nail; expected mine.tools.Tool or null"]),
    ("text: !@ bag.saw.teeth", ["box.text: the link 'bag.saw.teeth' gives an integer; expected text"]),
    ("number: !@ saw", ["box.number: the link 'saw' gives a Saw; expected an integer"]),
    ("number: !g [1, !@ saw.handle , !@ saw.teeth ]", []),
    ("text: !g [a, !@ saw.teeth ]", ["box.text: the link 'saw.teeth' gives an integer; expected text"]),
    ("tool: !@ saw", []),
    ("number: !@ saw.teeth", []),
    ("real: !@ saw.teeth", []),
    ("number: !@ saw.price", []),
    ("number: !@ saw.changed", []),
    ("number: !@ saw.unknown", []),
    ("number: !@ saw.handle", []),
    ("number: !@ bag.n", []),
    ("number: !call saw.sharpen", []),
    ("number: !@ saw.nothing", []),
    ("tool: !@ bag.saw", []),
]


@pytest.mark.parametrize(("argument", "expected"), LINKS, ids=[argument for argument, _ in LINKS])
def test_what_a_link_gives_is_known_where_annotations_tell(faults: Any, argument: str, expected: list[str]) -> None:
    assert faults(argument, SAW) == expected


ATTRIBUTES = """
from flambe.build.component import Component
import torch.nn as nn

class Plain(Component):
    size = 3
    def __init__(self, teeth=1):
        self.teeth = teeth
        self.a, (self.b, self.c) = 1, (2, 3)
        self.count: int = 0
        self.count += 1
        setattr(self, "literal", 1)
        self.register_buffer("buffer", None)
    def sharpen(self): self.sharpness = 1
    @property
    def weight(self): ...

class Below(Plain):
    def __init__(self, **kwargs): super().__init__(**kwargs)

class Open(Component):
    def __init__(self, transform=None):
        self.__dict__.update(transform)

class Dynamic(Plain):
    def __getattr__(self, name): ...

def make() -> Plain: ...
"""
MISSPELT = [
    ("p.teth", "error: {} leads nowhere: Plain has no attribute 'teth'. Did you mean 'teeth'?"),
    ("p.wieght.x", "error: {} leads nowhere: Plain has no attribute 'wieght'. Did you mean 'weight'?"),
    ("b.sharpnes", "error: {} leads nowhere: Below has no attribute 'sharpnes'. Did you mean 'sharpness'?"),
    ("d.teth", "warning: {} may lead nowhere: nothing shows that Dynamic has 'teth'. Did you mean 'teeth'?"),
    ("o.txt.size", "warning: {} may lead nowhere: nothing shows that Open has 'txt'. Did you mean 'text'?"),
    ("f.label.size", "warning: {} may lead nowhere: nothing shows that Open has 'label', only text, kind"),
    ("m.teth", None),  # what is annotated may be of a class below
    ("o.text.size", None),
    *((f"p.{name}", None) for name in ("teeth", "a", "b", "c", "count", "literal", "buffer", "sharpness", "weight", "size")),
    *((f"b.{name}", None) for name in ("teeth", "sharpen", "run", "unheard_of")),
]  # fmt: skip


@pytest.mark.parametrize(("link", "said"), MISSPELT, ids=[link for link, _ in MISSPELT])
def test_a_misspelt_attribute_is_found(tmp_path: Path, link: str, said: str | None) -> None:
    from flambe.compile.compiler import compile_whole
    from flambe.errors import ConfigFaults

    (tmp_path / "mine.py").write_text(ATTRIBUTES)
    text = (
        f"mine: {tmp_path}\n---\n!Experiment\nname: t\npipeline:\n  p: !mine.Plain\n  b: !mine.Below\n"
        "  o: !mine.Open {transform: {text: 1}}\n  f: !mine.Open {transform: {text: !mine.Plain , kind: !mine.Plain }}\n  d: !mine.Dynamic\n  m: !mine.make\n"
        f"  x: !Anything\n    y: !@ {link}\n"
    )
    words: list[str] = []
    try:
        words += [
            f"warning: {line}" for line in compile_whole(text, name="t", file="t", overrides=(), argv=()).warnings
        ]
    except ConfigFaults as error:
        words += [f"warning: {line}" for line in error.warnings] + [f"error: {fault}" for fault in error.faults]
    level, _, what = (said or "").partition(": ")
    assert words == ([] if said is None else [f"{level}: t:13:8: {what.format(f'the link {link!r}')}"])


def test_a_link_into_a_search_fits_when_one_of_the_choices_does(faults: Any) -> None:
    assert faults("tool: !@ a[x]", "a: !mine.Bag {transform: {}}\nb: !Anything {x: !g [!mine.Saw , !mine.Nail ]}") != []
    stages = "a: !Anything {x: !g [!mine.Saw , !mine.Nail ]}"
    assert faults("tool: !@ a[x]", stages) == []
    assert faults("text: !@ a[x]", stages) == ["box.text: the link 'a[x]' gives a Saw or Nail; expected text"]


def test_every_value_of_a_search_has_its_own_place(kit: Any) -> None:
    stages = "a: !Trainer\n  dataset: !Anything\n  model: !Anything\n  max_steps: !g [1, x, 2.5]\n  optimizer: !g\n    - !toy.Sgd {params: 1, lr: high}\n    - !Head {sise: 1}"
    assert kit.faults(lambda: kit.pipeline(stages)) == [
        "5:14: a.dataset: an Anything came; expected Words",
        "7:23: max_steps of Trainer is the text 'x'; expected an integer",
        "7:26: max_steps of Trainer is 2.5; expected an integer",
        "9:34: lr of Sgd is the text 'high'; expected a number",
        "10:9: a.optimizer: a Head came; expected Sgd or null",
        "10:16: Head has no argument 'sise'. Did you mean 'size'?",
    ]


def test_the_words_outside_of_stages_name_the_class(kit: Any) -> None:
    stages = "a: !Anything"
    assert kit.faults(
        lambda: kit.pipeline(stages, "schedulers:\n  a: !Trainer {dataset: !Head {size: 1}, model: !Head {size: 1}}")
    ) == ["6:25: dataset of Trainer: a Head came; expected Words"]
