"""What is checked of stages as a whole, beside their arguments and links; each check is loaded where there is something for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.spec.nodes import NEW, SCRIPT, Spec

if TYPE_CHECKING:
    from flambe.compile.check import Checker
    from flambe.compile.library import Library


def check_stages(spec: Spec, checker: Checker, library: Library, folder: str) -> None:
    """Note what is wrong with what is said of stages, with files that they read, and with programs. folder: of the YAML file, or the working folder."""
    if any(stage.reduce for stage in spec.stages):
        from flambe.compile.reduce_check import check_reduced

        check_reduced(spec.stages, checker)
    if any(stage.search is not None or stage.scheduler is not None for stage in spec.stages):
        from flambe.compile.deciding_check import check_deciding

        check_deciding(spec, checker)
    if checker.paths:
        from flambe.compile.path_check import check_paths

        check_paths(spec.stages, checker, library, folder)
    if any(stage.body.get(NEW) == SCRIPT for stage in spec.stages):
        from flambe.compile.script_check import check_scripts

        check_scripts(spec.stages, checker, library, folder)


__all__ = ["check_stages"]
