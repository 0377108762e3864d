"""What a search tag holds → a search node of the spec: ``!g``, ``!choice``, ``!s``, distributions, ``!seeds``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flambe.compile.lowering import DISTRIBUTIONS, FAULT, GRID_TAGS, SAMPLE_TAGS, Place, untagged
from flambe.compile.yaml import Mapping, Node, Scalar, Sequence, describe
from flambe.spec.nodes import CONTINUOUS, GRID

if TYPE_CHECKING:
    from flambe.compile.lowering import Lowering

MOST_DRAWN = 200_000
"""Values that all ``!s`` of a file draw."""


def search_node(node: Node, tag: str, place: Place, lowering: Lowering) -> Any:
    """Return the node of one of ``SEARCH_TAGS``."""
    if tag in GRID_TAGS:
        return _grid(node, tag, place, lowering)
    if tag in SAMPLE_TAGS:
        return _sample(node, tag, place, lowering)
    if tag in DISTRIBUTIONS:
        return _distribution(node, tag, place, lowering)
    return _seeds(node, place, lowering)


def _grid(node: Node, tag: str, place: Place, lowering: Lowering) -> Any:
    if tag == "choice" and isinstance(node, Mapping):
        return _named_choice(node, place, lowering)
    if not isinstance(node, Sequence):
        hint = None
        if isinstance(node, Mapping):
            hint = "Write !choice for options with names."
        if isinstance(node, Scalar) and node.text:
            hint = f"Write !{tag} [{node.text}]."
            if node.text[0] == "-" and " " in node.text:
                hint = "Put a space after each '-' of the list."
        what = f"!{tag} holds {describe(node)}"
        return lowering.fault(node.position, what, rule="malformed-search", expected="a list of values", hint=hint)
    return _options(node, tag, place, None, lowering)


def _named_choice(node: Mapping, place: Place, lowering: Lowering) -> Any:
    """Return the grid of ``!choice {name: option, …}``, or of ``!choice {options: …, probs: …}``."""
    given = {key: item for key, _, item in lowering.pairs(node)}
    if "options" not in given or not set(given) <= {"options", "probs"}:
        return _options(node, "choice", place, None, lowering)
    options = given["options"]
    if not isinstance(options, Sequence | Mapping) or options.tag is not None:
        return _malformed(options, f"the options of !choice are {describe(options)}", "a list or mapping", lowering)
    probs = None
    if "probs" in given:
        probs = lowering.value(given["probs"], Place((*place.at, "probs"), None))
    return _options(options, "choice", place, (probs, given["probs"]) if "probs" in given else None, lowering)


def _options(
    node: Sequence | Mapping, tag: str, place: Place, given: tuple[Any, Node] | None, lowering: Lowering
) -> Any:
    """Return the grid of a list of options, or of a mapping of name to option. given: their probabilities."""
    if not node.items:
        what = f"!{tag} holds an empty {'mapping' if isinstance(node, Mapping) else 'list'}"
        return _malformed(node, what, "one value or more", lowering)
    names: list[str] | None = None
    items: list[Node]
    if isinstance(node, Mapping):
        pairs = lowering.pairs(node)
        names, items = [str(key) for key, _, _ in pairs], [item for _, _, item in pairs]
    else:
        items = node.items
    probs = None
    if given is not None:
        probs = _probabilities(given[0], len(items), names)
        if probs is None:
            what = f"the probs of !{tag} are no probabilities of its {len(items)} options"
            return _malformed(given[1], what, f"{len(items)} numbers that add up to 1", lowering)
    options: list[Any] = []
    seen: dict[str, int] = {}
    for index, item in enumerate(items):
        inner = Place((*place.at, GRID, len(options)), place.config, (*place.choices, (*place.at, len(options))))
        option = lowering.value(item, inner)
        written = repr(option)
        if names is None and written in seen and not (isinstance(option, dict) and FAULT in option):
            what = "this value of the search is there already; it is tried once"
            lowering.warn(item.position, what, "duplicate-option")
            if probs is not None:
                probs[seen[written]] += probs.pop(len(options))
            continue
        seen[written] = index if names is not None else len(options)
        options.append(option)
    grid: dict[str, Any] = {GRID: options}
    if names is not None:
        grid["names"] = names
    if probs is not None:
        grid["probs"] = probs
    return grid


def _probabilities(given: Any, count: int, names: list[str] | None) -> list[float] | None:
    """Return the probabilities of ``count`` options, from a list or a mapping of their names; None for what is none."""
    if isinstance(given, dict) and names is not None and set(given) == set(names):
        given = [given[name] for name in names]
    if not isinstance(given, list) or len(given) != count:
        return None
    if any(isinstance(one, bool) or not isinstance(one, int | float) or one < 0 for one in given):
        return None
    return list(given) if abs(sum(given) - 1) < 1e-6 else None


def _sample(node: Node, tag: str, place: Place, lowering: Lowering) -> Any:
    from flambe.compile.sample import FORM, SampleError, draw, read_sample

    if not isinstance(node, Sequence):
        return lowering.fault(node.position, f"!{tag} holds {describe(node)}", rule="malformed-search", expected=FORM)

    given = [lowering.value(item, Place((*place.at, GRID, index), None)) for index, item in enumerate(node.items)]
    try:
        sample = read_sample(given)
    except SampleError as error:
        return lowering.fault(node.position, f"!{tag} {error}", rule="malformed-search", expected=error.expected)
    lowering.drawn += sample.size
    if lowering.drawn > MOST_DRAWN:
        return lowering.fault(
            node.position, f"the searches of this file draw more than {MOST_DRAWN:,} values", rule="too-large"
        )
    values = draw(sample, lowering.seed, ".".join(map(str, place.config or place.at)))
    if len(values) < sample.size:
        what = f"there are only {len(values)} different values to draw, not {sample.size}"
        lowering.warn(node.position, what, "duplicate-option")
    for index in range(max(len(values), len(given))):  # what was drawn is written nowhere
        lowering.places[*place.at, GRID, index] = node.position
    return {GRID: values}


def _distribution(node: Node, name: str, place: Place, lowering: Lowering) -> Any:
    from flambe.compile.distribution import FIELDS, DistributionError, distribution, form_of

    kind = f"${name}"
    fields = (*FIELDS[kind], "transform")
    values: dict[str, Any] = {}
    if isinstance(node, Sequence):
        if not len(fields) - 1 <= len(node.items) <= len(fields):
            count = f"{len(node.items)} value{'s' if len(node.items) != 1 else ''}"
            return _malformed(node, f"!{name} holds {count}", form_of(kind), lowering)
        for index, (field, item) in enumerate(zip(fields, node.items, strict=False)):
            values[field] = lowering.value(item, Place((*place.at, kind, index), None))
    elif isinstance(node, Mapping):
        for key, key_node, item in lowering.pairs(node):
            if key not in fields:
                what = f"!{name} has no {key!r}"
                return _malformed(key_node, what, f"{', '.join(fields[:-1])} and perhaps transform", lowering)
            values[key] = lowering.value(item, Place((*place.at, kind, fields.index(key)), None))
    else:
        return _malformed(node, f"!{name} holds {describe(node)}", form_of(kind), lowering)
    missing = [field for field in fields[:-1] if field not in values]
    if missing:
        return _malformed(node, f"!{name} has no {missing[0]}", form_of(kind), lowering)
    if any(isinstance(value, dict) and FAULT in value for value in values.values()):
        return {FAULT: True}
    try:
        found = distribution(kind, [values[field] for field in fields[:-1]], values.get("transform"))
    except DistributionError as error:
        return _malformed(node, f"!{name} {error.what}", error.expected, lowering)
    if kind in CONTINUOUS:
        lowering.endless.append(place)
    return found.node()


def _seeds(node: Node, place: Place, lowering: Lowering) -> Any:
    found = seeds_of(node, ".".join(map(str, place.config or place.at)), Place((*place.at, GRID), None), lowering)
    return {FAULT: True} if found is None else {GRID: found[1]}


def seeds_of(node: Node, stream: str, place: Place, lowering: Lowering) -> tuple[int, list[int]] | None:
    """Return what ``!seeds`` stands for: what its seeds are drawn from, and them. None where that is a fault.

    stream: each place draws seeds of its own; the whole experiment's is "".
    """
    from flambe.compile.sample import SampleError, derive_seeds, read_seeds

    bare = untagged(node)
    faults = len(lowering.faults)
    given = lowering.value(bare, place)
    if len(lowering.faults) > faults:
        return None
    try:
        base, count, listed = read_seeds(given, lowering.seed)
    except SampleError as error:
        _malformed(node, f"!seeds {error}", error.expected, lowering)
        return None
    if listed is not None:
        return listed[0], listed
    return base, derive_seeds(base, count, stream)


def _malformed(node: Node, what: str, expected: str | None, lowering: Lowering) -> dict[str, Any]:
    return lowering.fault(node.position, what, rule="malformed-search", expected=expected)
