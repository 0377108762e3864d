"""The check of a config for a spec that was made in Python: wrong arguments and links are found before anything is built."""

from __future__ import annotations

import os

from flambe.compile.check import Body, Checker
from flambe.compile.extensions import import_root
from flambe.compile.library import Library
from flambe.compile.stages_check import check_stages
from flambe.errors import ConfigFaults
from flambe.spec.nodes import Spec

# What the source of a class tells. Whether a class can be reached at all is known better where it is imported already.
_RULES = frozenset(
    {
        "unknown-argument",
        "missing-argument",
        "too-many-arguments",
        "duplicate-argument",
        "type-mismatch",
        "link-missing",
        "no-metric",
        "missing-file",
        "missing-function",
    }
)


def check_arguments(spec: Spec) -> None:
    """Check what every object in the stages of a spec is given. Classes without source, those of a console say, are left out.

    Raises ``ConfigFaults`` with all that is wrong.
    """
    library = Library()
    for module, source in spec.environment.extensions.items():
        root = import_root(module, source) if os.path.exists(source) else None
        if root is not None:
            library.add_root(module.partition(".")[0], root)
    checker = Checker(library, {}, {})
    checker.check([Body(stage.body, ("stages", at), stage.name) for at, stage in enumerate(spec.stages)])
    check_stages(spec, checker, library, os.getcwd())
    faults = [fault for fault in checker.faults if fault.rule in _RULES]
    if faults:
        raise ConfigFaults(faults)


__all__ = ["check_arguments"]
