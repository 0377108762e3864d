"""What to say about a tag that names nothing: what was probably meant, and what to write."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flambe.compile.signatures import signature_of
from flambe.compile.tags import FLAT, OPEN, flat_names, short_names
from flambe.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from flambe.compile.library import Library

UNKNOWN = "unknown-tag"

# Words that other tools have for a search.
_SEARCHES = {
    **dict.fromkeys(
        ("grid", "grid_search", "gridsearch", "choose", "choices", "options", "one_of", "sweep"),
        "Did you mean !g? It tries each value of a list: !g [value, …].",
    ),
    **dict.fromkeys(
        ("sample", "sampled", "samples", "random", "range", "randint", "uniform_int"),
        "Did you mean !s? It draws k values evenly: !s [low, high, k].",
    ),
    **dict.fromkeys(
        ("loguniform", "log_uniform", "qloguniform", "logspace"),
        "Write !uniform {low: -4, high: -1, transform: pow10} for 10 to the power of it.",
    ),
}


def unknown(tag: str, library: Library, extensions: Iterable[str] = (), folder: str | None = None) -> ConfigError:
    """Return the error for a tag (without ``!``) that names nothing. folder: of the config, to find its modules beside it."""
    for own in ("@", "$"):
        if tag.startswith(own):
            space = f"A link is written with a space: !{own} {tag[1:]}"
            return ConfigError(f"unknown tag !{tag}", rule="link-without-space", hint=space)
    if tag.casefold() in _SEARCHES:
        return ConfigError(f"unknown tag !{tag}", rule=UNKNOWN, hint=_SEARCHES[tag.casefold()])
    head, _, rest = tag.partition(".")
    if rest and head[:1].islower():
        return _unknown_below(tag, head, library, extensions, folder)
    from flambe.compile.lowering import OWN_TAGS

    hint = _with_factory(head, rest, library) if rest else _flat(tag, library)
    hint = hint or nearest(tag, [*_all_names(library, extensions), *OWN_TAGS])
    if hint is None and head == "__main__":
        hint = "Define the class, or register it, before its tag is read."
    elif hint is None and head in sys.stdlib_module_names:
        hint = "Tags reach components, not Python's own library."
    elif hint is None and rest and library.exists(head):
        return _undeclared(tag, head, library, folder)
    elif hint is None and not any(target.startswith("flambe.learn") for target in short_names().values()):
        hint = "The components of flambe-nn are not installed: pip install flambe-nn."
    elif hint is None and head[:1].isupper():
        hint = (
            f"A class of your own is written with its module: '!my_module.{tag}', "
            "and before the experiment 'my_module: path/to/my_module.py', then '---'."
        )
    return ConfigError(f"unknown tag !{tag}", rule=UNKNOWN, hint=hint)


def unknown_short(tag: str, library: Library) -> ConfigError | None:
    """Return the error for ``torch.Name`` or ``ray.Name`` when a name that exists was probably meant."""
    hint = below(tag, library)
    return None if hint is None else ConfigError(f"unknown tag !{tag}", rule=UNKNOWN, hint=hint)


def nothing_in(tag: str, module: str, name: str, library: Library) -> ConfigError:
    """Return the error for a tag whose ``module`` has no ``name``."""
    if module == "flambe":
        rest = tag.partition(".")[2].removeprefix(name)
        hint = (
            _install_line(name) or nearest(name, _rooms(), before="flambe.", after=rest) or nearest(name, short_names())
        )
    else:
        hint = nearest(tag, [f"{module}.{known}" for known in library.names(module)])
    if hint is None and tag.partition(".")[0] in FLAT:
        hint = below(tag, library)
    return ConfigError(f"unknown tag !{tag}: the module {module!r} has no {name!r}", rule=UNKNOWN, hint=hint)


def _rooms() -> list[str]:
    import flambe

    return " ".join(flambe._ROOMS.values()).split()


def _install_line(room: str) -> str | None:
    import flambe

    packages = [package for package, rooms in flambe._ROOMS.items() if room in rooms.split()]
    return f"flambe.{room} is not installed here: pip install {packages[0]}." if packages else None


def below(tag: str, library: Library) -> str | None:
    """Return ``Did you mean …?`` of the short names that begin as the tag does."""
    head, _, rest = tag.partition(".")
    known = [name.partition(".")[2] for name in [*short_names(), *flat_names(library)] if name.startswith(f"{head}.")]
    return nearest(rest.rpartition(".")[2], known, before=f"{head}.")


def nearest(word: str, names: Iterable[str], *, before: str = "", after: str = "") -> str | None:
    """Return ``Did you mean '!x'?`` for the nearest of ``names``, with what stands around it in the tag."""
    import difflib  # only a file with faults needs it

    known = list(dict.fromkeys(names))
    folded = {name.casefold(): name for name in known}
    near = folded.get(word.casefold())
    if near is None:
        # The nearest by the letters, whatever their case, and of equals the one that is spelt so. A little nearer than what
        # difflib calls close: MyClass is no MultiClassAUC.
        found = difflib.get_close_matches(word, known, n=3, cutoff=0.61) or [
            folded[one] for one in difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.61)
        ]
        anagrams = [name for name in found if sorted(name.casefold()) == sorted(word.casefold())]
        near = next(iter(anagrams or found), None)
    return f"Did you mean '!{before}{near}{after}'?" if near is not None else None


def _flat(word: str, library: Library) -> str | None:
    """Return the suggestion of a class of torch or Tune that is called exactly so, such as ``torch.Adam`` for ``Adam``."""
    found = [name for name in flat_names(library) if name.partition(".")[2] == word]
    return f"Did you mean '!{found[0]}'?" if found else None


def _with_factory(word: str, factory: str, library: Library) -> str | None:
    """Return the suggestion of the nearest class, with the factory if it has one of that name."""
    hint = nearest(word, short_names())
    if hint is None:
        return None
    target = short_names()[hint.split("'!")[1].partition("'")[0]]
    try:
        signature_of(library, f"{target}.{factory}")
    except ConfigError:
        return hint  # the class is there, the factory is not
    return hint.replace("'?", f".{factory}'?")


def _unknown_below(tag: str, head: str, library: Library, extensions: Iterable[str], folder: str | None) -> ConfigError:
    """Return the error for ``module.Name``."""
    heads = [*extensions, *OPEN, *(name.partition(".")[0] for name in short_names() if "." in name)]
    if head in heads or did_you_mean(head, heads) is not None:
        hint = nearest(tag, [name for name in _all_names(library, extensions) if "." in name])
        if hint is not None:
            return ConfigError(f"unknown tag !{tag}", rule=UNKNOWN, hint=hint)
    if head in sys.stdlib_module_names:
        return ConfigError(f"unknown tag !{tag}", rule=UNKNOWN, hint="Tags reach components, not Python's own library.")
    return _undeclared(tag, head, library, folder)


def _undeclared(tag: str, head: str, library: Library, folder: str | None) -> ConfigError:
    """Return the error for a tag of a module that no header names, with the header to write."""
    source = _source_beside(head, folder)
    if source is None and library.exists(head):
        source = head
    header = f"Write before the experiment: '{head}: {source or f'path/to/{head}.py'}', then '---'."
    if source is None and library.exists(f"flambe.{head}"):  # our rooms are no part of a tag
        hint = nearest(tag.partition(".")[2], short_names())
        if hint is not None:
            return ConfigError(f"unknown tag !{tag}", rule=UNKNOWN, hint=hint)
    return ConfigError(
        f"unknown tag !{tag}: no header names the module {head!r}", rule="undeclared-module", hint=header
    )


def _source_beside(head: str, folder: str | None) -> str | None:
    """Return what a header would say of a module that lies in the folder of the config."""
    for name in (f"{head}.py", head):
        if folder is not None and os.path.exists(os.path.join(folder, name)):
            return f"./{name}"
    return None


def _all_names(library: Library, extensions: Iterable[str]) -> list[str]:
    names = [*short_names(), *flat_names(library)]
    for module in extensions:
        if library.exists(module):
            names += [f"{module}.{name}" for name in library.names(module)]
    return names
