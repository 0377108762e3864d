"""Tags, aliases, factories and namespaces at run time."""

from __future__ import annotations

import pytest

from flambe.build.component import Component, dynamic_component, make_component
from flambe.build.made import arguments_of, made_of
from flambe.build.registrable import (
    MappedRegistrable,
    Registrable,
    RegistrationError,
    alias,
    all_subclasses,
    class_of_tag,
    class_of_target,
    factories_of,
    register,
    registrable_factory,
    registration_context,
    target_of,
)


def test_a_subclass_registers_under_the_top_level_module() -> None:
    class Plain(Registrable, tag_namespace="ext"):
        pass

    assert class_of_tag("ext.Plain") is Plain
    assert Registrable.get_default_tag(Plain) == "ext.Plain"
    assert class_of_target(target_of(Plain)) is Plain


def test_flambes_own_classes_have_no_namespace() -> None:
    class Mine(Component, tag_override="MineOnly"):
        __module__ = "flambe.somewhere"

    assert class_of_tag("MineOnly") is Mine


def test_a_context_wins_and_can_decorate() -> None:
    with registration_context("outer"):

        class First(Registrable, tag_namespace="inner"):
            pass

    @registration_context("made")
    def make() -> type:
        class Second(Registrable):
            pass

        return Second

    assert Registrable.get_default_tag(First) == "outer.First"
    assert Registrable.get_default_tag(make()) == "made.Second"


def test_the_first_namespace_stays(capsys: pytest.CaptureFixture[str]) -> None:
    class Settled(Registrable, tag_namespace="one"):
        pass

    Registrable.register_tag(Settled, "Other", "two")
    assert Registrable.get_default_tag(Settled) == "one.Other"
    assert "keeps the namespace 'one', 'two' is ignored" in capsys.readouterr().err


def test_aliases_stack_and_the_topmost_is_the_default() -> None:
    @alias("top")
    @alias("below")
    class Aliased(Registrable, tag_namespace="al"):
        pass

    class Child(Aliased, tag_namespace="al"):
        pass

    assert class_of_tag("al.top") is class_of_tag("al.below") is class_of_tag("al.Aliased") is Aliased
    assert Registrable.get_default_tag(Aliased) == "al.top"
    assert Registrable.get_default_tag(Child) == "al.Child"


def test_should_register_false_gives_no_tag() -> None:
    class Hidden(Registrable, should_register=False):
        pass

    with pytest.raises(RegistrationError, match="Hidden has no tag"):
        Registrable.get_default_tag(Hidden)


def test_register_takes_any_class() -> None:
    class Foreign:
        pass

    assert register(Foreign, "Foreigner") is Foreign
    assert Registrable.get_default_tag(Foreign).endswith("Foreigner")


def test_a_factory_is_recorded_in_place_of_the_constructor() -> None:
    class Base(Component):
        def __init__(self, x: int) -> None:
            self.x = x

        @registrable_factory
        @classmethod
        def doubled(cls, half: int, *, more: int = 0) -> Base:
            return cls(2 * half + more)

    class Child(Base):
        pass

    made = Child.doubled(4, more=1)
    assert isinstance(made, Child)
    assert made.x == 9
    record = made_of(made)
    assert record is not None
    assert (record.factory, record.target) == ("doubled", target_of(Child))
    assert arguments_of(made) == {"half": 4, "more": 1}
    assert "doubled" in factories_of(Child)
    assert "load_from_path" in factories_of(Child)
    assert Registrable.get_default_tag(Child, "doubled").endswith("Child.doubled")
    with pytest.raises(RegistrationError, match="no factory 'doubbled'.*Did you mean 'doubled'"):
        Registrable.get_default_tag(Child, "doubbled")


def test_a_factory_is_a_class_method_of_a_registrable() -> None:
    with pytest.raises(RegistrationError, match="above @classmethod"):
        registrable_factory(lambda: None)
    with pytest.raises(RuntimeError) as caught:

        class NotRegistrable:
            @registrable_factory
            @classmethod
            def make(cls) -> None: ...

    assert isinstance(caught.value.__cause__, RegistrationError)


def test_mapped_registrables_are_made_from_their_mapping() -> None:
    import yaml

    class Mapped(MappedRegistrable):
        def __init__(self, a: int, b: str = "") -> None:
            self.a, self.b = a, b

    node = yaml.compose("!Mapped {a: 3, b: x}")
    made = Mapped.from_yaml(yaml.SafeLoader(""), node)
    assert (made.a, made.b) == (3, "x")
    back = Mapped.to_yaml(yaml.SafeDumper(None), made, "!Mapped")
    assert back.tag == "!Mapped"
    assert [key.value for key, _ in back.value] == ["a", "b"]


def test_third_party_classes_become_components() -> None:
    class ThirdParty:
        def __init__(self, n: int = 1) -> None:
            self.n = n

    class Below(ThirdParty):
        pass

    assert all_subclasses(ThirdParty) == {Below}
    make_component(ThirdParty, tag_namespace="third")
    made_class = class_of_tag("third.Below")
    assert made_class is not None
    assert issubclass(made_class, Component)
    assert issubclass(made_class, Below)
    assert class_of_tag("third.ThirdParty") is None
    assert dynamic_component(ThirdParty, "One", "third") is class_of_tag("third.One")
    assert arguments_of(made_class(n=4)) == {"n": 4}
