"""Where the values of a variant were written, though search is gone from it."""

import textwrap

import msgspec
import pytest

from flambe.compile.compiler import compile_text
from flambe.compile.search import expand
from flambe.errors import Position
from flambe.runner.plan import make_unit
from flambe.spec.codec import dump_spec, load_spec
from flambe.spec.nodes import LinkTarget
from flambe.spec.origins import link_origins, origins_of, position_in

TEXT = textwrap.dedent(
    """\
    !Experiment
    name: t
    pipeline:
      words: !torch.Embedding
        num_embeddings: 5
        embedding_dim: !g [2, 4]
      train: !torch.Sequential
        - !torch.Linear
          in_features: !link words.embedding_dim
          out_features: 3
        - !g
          - !torch.Dropout
            p: !g [0.1, 0.2]
          - !torch.AlphaDropout
            p: 0.5
    """
)


@pytest.fixture
def spec():
    return compile_text(TEXT, name="exp.yaml")


def line(origins, *path):
    found = position_in(origins, path)
    assert found is None or found.file == "<exp.yaml>"
    return None if found is None else (found.line, found.column)


def test_each_value_of_a_body_has_its_place(spec):
    origins = origins_of(spec, "words", {})
    assert line(origins) == (4, 10)
    assert line(origins, "num_embeddings") == (5, 21)


def test_a_choice_is_where_its_option_is_written(spec):
    assert line(origins_of(spec, "words", {"words.embedding_dim": 2}), "embedding_dim") == (6, 24)
    assert line(origins_of(spec, "words", {"words.embedding_dim": 4}), "embedding_dim") == (6, 27)


def test_what_is_inside_a_chosen_component_is_found_and_what_was_not_chosen_is_not(spec):
    first, second = spec.stages[1].body["$args"][1]["$grid"]
    dropout = origins_of(spec, "train", {"train.1": first, "train.1.p": 0.2})
    assert line(dropout, 1) == (12, 9)
    assert line(dropout, 1, "p") == (13, 21)
    other = origins_of(spec, "train", {"train.1": second})
    assert line(other, 1, "p") == (15, 12)
    assert all("grid" not in name and "args" not in name for name in (*dropout, *other))


def test_without_a_place_of_its_own_a_value_is_where_it_is_a_part_of(spec):
    assert line(origins_of(spec, "train", {}), 0, "bias", "deep") == (8, 7)
    concrete = next(iter(expand(spec)))
    assert line(origins_of(concrete, "words", {"words.embedding_dim": 2}), "embedding_dim") == (6, 20)
    assert position_in({}, ("any",)) is None


def test_links_into_a_stage_are_known_there(spec):
    assert link_origins(spec, "words") == {"words.embedding_dim": "<exp.yaml>:9:20"}
    assert link_origins(spec, "train") == {}


def test_a_unit_carries_them_and_its_key_does_not(spec):
    bare = msgspec.structs.replace(spec, origins={})
    choice = {"words.embedding_dim": 2}
    made = [
        make_unit(one, msgspec.structs.replace(one.stages[0], body={"$new": "torch.nn:Embedding"}), choice, {}, "/r")
        for one in (spec, bare, load_spec(dump_spec(spec)))
    ]
    assert [unit.key for unit in made] == [made[0].key] * 3
    assert [unit.seed for unit in made] == [made[0].seed] * 3
    assert made[0].where(("words", "num_embeddings")) == Position("<exp.yaml>", 5, 21)
    assert made[0].where_exported(LinkTarget(("words",), ("embedding_dim",))) == Position("<exp.yaml>", 9, 20)
    assert made[1].where(("words",)) is None
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made[2]), type=type(made[2])).origins == made[0].origins


def test_what_was_drawn_stands_where_its_distribution_is_and_a_named_option_where_it_is_written():
    text = textwrap.dedent(
        """\
        !Experiment
        name: t
        pipeline:
          words: !torch.Embedding
            num_embeddings: !quniform {n: 2, low: 4, high: 5}
            embedding_dim: !choice {small: 2, large: 4}
            max_norm: !choice
              options: {low: !g [1.0, 1.5], high: 2.0}
              probs: [0.25, 0.75]
        """
    )
    spec = compile_text(text, name="exp.yaml")
    params = {"words.num_embeddings": 5, "words.embedding_dim": "large", "words.max_norm": 1.5}
    for origins in (origins_of(spec, "words", params), origins_of(load_spec(dump_spec(spec)), "words", params)):
        assert line(origins, "num_embeddings") == (5, 21)
        assert line(origins, "embedding_dim") == (6, 46)
        assert line(origins, "max_norm") == (8, 31)
        assert not any("$" in pointer for pointer in origins)
