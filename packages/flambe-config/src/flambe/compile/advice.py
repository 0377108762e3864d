"""What to do about a value that does not fit, where that is clear; read only when there is a fault."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from flambe.compile.annotations import Type, fits, written
from flambe.compile.yaml import plain_value
from flambe.errors import did_you_mean
from flambe.spec.nodes import CONTINUOUS, MAP, kind_of

SEED = (
    "Random numbers follow from the run's seed by themselves; a program gets it with 'seed_arg: seed' in its !Script, "
    "or from the variable FLAMBE_SEED."
)
"""What to do for who wants the seed of the experiment as an argument."""


def advice(node: Any, type_: Type) -> str | None:
    """Return what to do about a value that does not fit, where that is clear."""
    options = type_[1:] if isinstance(type_, list) and type_[0] == "union" else [type_]
    if kind_of(node) in CONTINUOUS and "int" in options:
        return "Write !quniform [low, high, n], or !s [low, high, k] with whole numbers."
    takes_number = any(one in ("int", "float", "bool") for one in options)
    wants_object = not takes_number and any(
        one == "callable" or (isinstance(one, list) and one[0] == "class") for one in options
    )
    if isinstance(node, dict) and isinstance(node.get("_target_"), str):
        return f"_target_ is Hydra's; write the tag !{node['_target_']}."
    literals = [v for one in options if isinstance(one, list) and one[0] == "literal" for v in one[1:]]
    meant = did_you_mean(node, [v for v in literals if isinstance(v, str)]) if isinstance(node, str) else None
    if meant is not None:
        return meant
    if wants_object and isinstance(node, str | list | dict) and kind_of(node) in (None, MAP):
        return "Objects are written with a tag."
    if isinstance(node, list) and node:
        if all(fits(item, type_) for item in node):
            if len(node) > 1:
                return f"To try each of them write !g {written(node)}."
            return None if " " in written(node) else f"Write {written(node)[1:-1]}."
    elif isinstance(node, str):
        if node.startswith("${"):
            return "This is Hydra's spelling: a link is !@ stage[key], an environment variable !env NAME."
        if literals:
            return None
        if node.lower() in ("yes", "no", "on", "off", "y", "n") and "bool" in options:
            return f"Write {'true' if node.lower() in ('yes', 'on', 'y') else 'false'}."
        if node.lower() in ("none", "nil") and "none" in options:
            return "Write null."
        if any(fits(node, one[1]) for one in options if isinstance(one, list) and one[0] == "list"):
            return f"Write [{node}]."
        if any(one in ("int", "float", "bool", "none") and fits(plain_value(node), one) for one in options):
            return "Remove the quotes."
        if node.lower().lstrip("+-") in ("inf", "nan", "infinity") and "float" in options:
            return f"Write {'-' if node[0] == '-' else ''}.{node.lower().lstrip('+-')[:3]}."
        words = node.split()
        if len(words) > 1 and all(
            any(fits(plain_value(word), one) for one in options if one in ("int", "float")) for word in words
        ):
            return "Put a comma between values."
        number = _number_meant(node)
        if number is not None and any(fits(number, one) for one in options if one in ("int", "float")):
            return f"Write {number}."
    elif isinstance(node, int) and not isinstance(node, bool) and node in (0, 1) and "bool" in options:
        return f"Write {'true' if node else 'false'}."
    elif isinstance(node, float) and node.is_integer() and "int" in options:
        return f"Write {int(node)}."
    elif isinstance(node, int | float) and "str" in options:
        return "Put it in quotes."
    return None


_NUMBERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], float]], ...] = (
    (re.compile(r"([-+]?\d+),(\d+)\Z"), lambda found: float(f"{found[1]}.{found[2]}")),
    (re.compile(r"([-+]?[\d.]+) ?%\Z"), lambda found: float(found[1]) / 100),
    (re.compile(r"([\d.]+) ?/ ?([\d.]+)\Z"), lambda found: float(found[1]) / float(found[2])),
    (re.compile(r"([\d.]{1,4}) ?(?:\*\*|\^) ?([-+]?\d{1,2})\Z"), lambda found: float(found[1]) ** int(found[2])),
    (re.compile(r"([\d.]+) ?([kKM])\Z"), lambda found: float(found[1]) * (1e6 if found[2] == "M" else 1e3)),
    (re.compile(r"([-+]?[\d._]+(?:e[-+]?\d+)?)[a-zA-Z]*\Z", re.I), lambda found: float(found[1])),
)


def _number_meant(text: str) -> int | float | None:
    """Return the number that a text such as ``0,001``, ``50%``, ``1/2``, ``10**-3``, ``10k``, ``1_000`` or ``1e-3x`` stands for."""
    for pattern, read in _NUMBERS:
        found = pattern.match(text)
        if found is None:
            continue
        try:
            value = read(found)
        except (ValueError, ArithmeticError):
            return None
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    return None
